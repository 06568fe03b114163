"""What of a line of a Dockerfile a fault points at."""

import pytest

from cli.builds.fault_excerpts import with_excerpts
from shoal.dockerfile.document import parse_dockerfile
from shoal.errors import Fault, InvalidInput

FILE = """FORM debian:bookworm-slim
FROM --platfrom=linux/amd64 debian AS a
RUN --mount=type=cach,target=/x true
COPY a
\tENV
"""


def test_each_fault_of_a_file_has_its_line_and_a_caret() -> None:
    with pytest.raises(InvalidInput) as error:
        parse_dockerfile(FILE, "Dockerfile")
    assert (
        str(with_excerpts(error.value, FILE, "Dockerfile")).splitlines()
        == """\
Dockerfile:1: unknown instruction: FORM (did you mean FROM?)
     1 | FORM debian:bookworm-slim
       | ^~~~; Dockerfile:2: unknown flag: --platfrom; the instruction has --platform
     2 | FROM --platfrom=linux/amd64 debian AS a
       |      ^~~~~~~~~~; Dockerfile:3: unsupported mount type "cach" (did you mean cache?)
     3 | RUN --mount=type=cach,target=/x true
       |                  ^~~~; Dockerfile:4: COPY requires at least two arguments, but only one was provided. \
Destination could not be determined
     4 | COPY a
       | ^~~~; Dockerfile:5: ENV requires at least one argument
     5 |  ENV
       |  ^~~""".splitlines()
    )


@pytest.mark.parametrize(
    "fault",
    [
        Fault("Dockerfile:9", "past the end"),
        Fault("other:1", "of another file"),
        Fault("--tag", "of a flag"),
        Fault("Dockerfile:2", "an empty line"),
        Fault("Dockerfile:3", "'end' is far to the right"),
    ],
)
def test_other_faults_stay_as_they_are(fault: Fault) -> None:
    text = f"FROM a\n\nRUN {'x' * 200} end\n"
    assert with_excerpts(InvalidInput([fault]), text, "Dockerfile").faults == InvalidInput([fault]).faults


def test_control_characters_do_not_reach_the_terminal() -> None:
    found = str(with_excerpts(InvalidInput([Fault("f:1", "bad")]), "RUN \x1b[2J", "f"))
    assert "\x1b" not in found and "RUN ?[2J" in found
