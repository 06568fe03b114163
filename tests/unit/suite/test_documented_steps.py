"""Commands and outputs of documents are read and compared."""

import pytest

from tests.integration.operations.documented_steps import DocumentedStep, compare, documented_steps

TEXT = """\
# Operations

## Set up

```console
m1# shoal manager ls
ID              STATUS
vt2c8vq1m4pzw   ready
m2# shoal cluster \\
      info
```

## Other

    m1# not of a block
```console
m3# false
error: no
```
"""


def test_steps_have_hosts_commands_and_outputs() -> None:
    assert list(documented_steps(TEXT)) == [
        DocumentedStep("Set up", 6, "m1", "shoal manager ls", ("ID              STATUS", "vt2c8vq1m4pzw   ready")),
        DocumentedStep("Set up", 9, "m2", "shoal cluster info", ()),
        DocumentedStep("Other", 17, "m3", "false", ("error: no",)),
    ]
    assert [step.fails for step in documented_steps(TEXT)] == [False, False, True]


@pytest.mark.parametrize(
    ("output", "promised"),
    [
        ("ID STATUS\nabcdefgh12345   ready\n", ("ID    STATUS", "vt2c8vq1m4pzw   ready")),
        ("written: 12.5 MiB", ("written: 1.0 KiB",)),
        ("first\nsecond\nthird\n", ("first", "…", "third")),
        ("first\nlast\n", ("first", "…", "last")),
        ("token SHOAL-1-abc", ("token SHOAL-1-…",)),
        ("", ()),
        ("abcdefgh12345 ready voter", ("vt2c8vq1m4pzw ready leader voter",)),
    ],
)
def test_what_differs_in_each_run_may_differ(output: str, promised: tuple[str, ...]) -> None:
    assert compare(output, promised) is not None


@pytest.mark.parametrize(
    ("output", "promised"),
    [
        ("abcdefgh12345 down", ("vt2c8vq1m4pzw ready",)),
        ("first\nlast\n", ("first",)),
        ("first\n", ("first", "last")),
        ("first\n", ("first", "…", "last")),
        ("something", ()),
        ("down", ("12",)),
    ],
)
def test_all_else_has_to_be_the_same(output: str, promised: tuple[str, ...]) -> None:
    assert compare(output, promised) is None


def test_ids_of_the_document_are_those_of_the_cluster() -> None:
    output = "ID STATUS\nabcdefgh12345 ready\nmanager 7mnpq34567890: down\n"
    promised = ("ID STATUS", "vt2c8vq1m4pzw ready", "manager 4m2k7x0q9z1ab: down")
    assert compare(output, promised) == {"vt2c8vq1m4pzw": "abcdefgh12345", "4m2k7x0q9z1ab": "7mnpq34567890"}
