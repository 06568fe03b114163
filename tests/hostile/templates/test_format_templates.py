"""Templates of `--format` from who knows where: whatever they ask for, steps, text, nesting and memory are bounded."""

from resource import RUSAGE_SELF, getrusage

import pytest

from cli.go_template.evaluate import Template
from shoal.errors import InvalidInput


@pytest.mark.parametrize(
    "template",
    [
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "{{if 1}}" * 5000 + "{{end}}" * 5000,
        "{{range 100000}}{{range 100000}}{{end}}{{end}}",
        '{{$x := "aaaaaaaa"}}{{range 60}}{{$x = printf "%s%s" $x $x}}{{end}}{{$x}}',
        '{{$x := "aaaaaaaa"}}{{range 60}}{{$x = print $x $x}}{{end}}{{$x}}',
        '{{$x := printf "%1000s" "a"}}{{range 1000000}}{{$x}}{{end}}',
        '{{printf "%999999999d" 1}}',
        '{{pad "a" 999999999 1}}',
        "{{print " + "1 " * 20_000 + "}}",
        "{{/*" + "x" * 70_000 + "*/}}",
        '{{define "x"}}{{template "x" .}}{{template "x" .}}{{end}}{{template "x" .}}',
        '{{define "x"}}{{with ' + "(" * 90 + "." + ")" * 90 + '}}{{template "x" .}}{{end}}{{end}}{{template "x" 1}}',
        '{{define "x"}}{{range 100000}}{{end}}{{end}}{{range 100000}}{{template "x"}}{{end}}',
        "".join(f'{{{{block "{number}" 1}}}}' for number in range(500)) + "{{end}}" * 500,
    ],
    ids=range(14),
)  # fmt: skip
def test_templates_are_bounded(template: str) -> None:
    """A run ends after two million steps or 16 MiB of text, and holds less than 200 MB meanwhile."""
    before = getrusage(RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidInput):
        Template(template).run({})
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB"
