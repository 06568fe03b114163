"""Templates of `--format`: what Go's text/template makes of the same, and the bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.go_template.evaluate import Template
from cli.go_template.template_values import FieldRecord, TemplateMethod
from shoal.errors import InvalidInput

WEB = FieldRecord(
    ID="0y7m",
    Name="web",
    Ports=["80", "443"],
    Labels={"tier": "front", "rack": "r1"},
    Replicas=3,
    Share=0.5,
    Big=1000000.0,
    Up=True,
    Update=None,
    Global=FieldRecord(),
    Label=TemplateMethod(lambda name: f"<{name}>"),
)


def run(text: str) -> str:
    return Template(text).run(WEB)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.ID}} {{.Name}}", "0y7m web"),
        ("a {{- .Name -}} b", "aweb" + "b"),
        ("a{{/* nothing */}}b {{- /* trimmed */ -}} c", "abc"),
        ("{{.Name | upper | printf \"%-5s|\"}}", "WEB  |"),
        ("{{upper .Name}}{{lower \"AB\"}}{{title \"two words\"}}", "WEBabTwo Words"),
        ("{{join .Ports \", \"}}", "80, 443"),
        ("{{split \"a,b\" \",\"}} {{len (split \"a,b\" \",\")}}", "[a b] 2"),
        ("{{json .Ports}} {{json .Labels}} {{json .Update}}", '["80","443"] {"tier":"front","rack":"r1"} null'),
        ("{{.Labels}} {{.Ports}}", "map[rack:r1 tier:front] [80 443]"),
        ("{{.Labels.tier}} {{index .Labels \"rack\"}} {{.Labels.none}}", "front r1 <no value>"),
        ("{{index .Ports 1}} {{(index .Ports 0)}}", "443 80"),
        ("{{.Label \"x\"}} {{.Label \"y\" | upper}}", "<x> <Y>"),
        ("{{range .Ports}}{{.}};{{end}}", "80;443;"),
        ("{{range $i, $port := .Ports}}{{if $i}} {{end}}{{$i}}={{$port}}{{end}}", "0=80 1=443"),
        ("{{range $name, $value := .Labels}}{{$name}}:{{$value}} {{end}}", "rack:r1 tier:front "),
        ("{{range .Update}}x{{else}}none{{end}}", "none"),
        ("{{range .Ports}}{{if eq . \"80\"}}{{continue}}{{end}}{{.}}{{break}}{{end}}", "443"),
        ("{{range .Ports}}{{$.Name}}{{end}}", "webweb"),
        ("{{$x := 1}}{{range .Ports}}{{$x = .}}{{end}}{{$x}}", "443"),
        ("{{if .Update}}a{{else if .Up}}b{{else}}c{{end}}", "b"),
        ("{{if .Global}}global{{end}}", "global"),
        ("{{with .Labels}}{{.tier}}{{else}}none{{end}}{{with .Update}}x{{else}}y{{end}}", "fronty"),
        ("{{if and .Update .Update.State}}x{{else}}no update{{end}}", "no update"),
        ("{{or .Update .Name}} {{and .Up .Name}} {{not .Up}}", "web web false"),
        ("{{eq .Replicas 1 2 3}} {{ne .Name \"db\"}} {{lt 1 2}}", "true true true"),
        ("{{ge .Share 0.5}} {{gt \"b\" \"a\"}} {{le 2 1}}", "true true false"),
        ("{{println .Name 1}}", "web 1\n"),
        ("{{print 1 2 \"a\" 3}}", "1 2a3"),
        ("{{printf \"%05d %x %q %t %v\" 42 255 \"a\" true .Ports}}", '00042 ff "a" true [80 443]'),
        ("{{printf \"%s %d%%\" .Name 7}}", "web 7%"),
        ("{{printf \"%d\" .Name}}", "%!d(web)"),
        ("{{.Share}} {{.Big}} {{1.5}} {{0x10}} {{'a'}} {{true}} {{`raw`}}", "0.5 1e+06 1.5 16 97 true raw"),
        ("{{\"}}\"}}", "}}"),
        ("{{slice .Name 1 3}} {{len .Name}} {{truncate .Name 2}} {{pad .Name 1 2}}|", "eb 3 we  web  |"),
        ("{{html \"<a>\"}} {{urlquery \"a b\"}}", "&lt;a&gt; a+b"),
        ("{{if (eq (len .Ports) 2)}}two{{end}}", "two"),
        ('{{define "row"}}<{{.}}>{{end}}{{range .Ports}}{{template "row" .}}{{end}}', "<80><443>"),
        ('{{template "late" .Name}}{{define "late"}}{{upper .}} {{$}}{{end}}', "WEB web"),
        ('{{block "b" .Name}}[{{.}}]{{end}}{{template "b" .ID}}{{template "b"}}', "[web][0y7m][<no value>]"),
        ('{{define "d"}}{{if .}}{{len .}}{{template "d" (slice . 1)}}{{end}}{{end}}{{template "d" .Name}}', "321"),
        ("{{range 500}}{{if .}}{{continue}}{{end}}{{.}}{{end}}", "0"),
        ("no action", "no action"),
        ("", ""),
    ],
)  # fmt: skip
def test_templates(template: str, text: str) -> None:
    assert run(template) == text


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{.Nmae}}", "unknown field 'Nmae'; available fields: .Big, .Global, .ID"),
        ("{{.Update.State}}", "cannot read field 'State' of nil"),
        ("{{.Name.X}}", "a string has no field 'X'"),
        ("{{.Name", "unclosed action"),
        ('{{"a}}', "unterminated quote at character 3"),
        ("{{range .Ports}}", "missing {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{if .Up}}{{else}}{{else}}{{end}}", "{{else}} after {{else}}"),
        ("{{break}}", "outside {{range}}"),
        ("{{$x}}", "undefined variable $x"),
        ("{{if .Up}}{{$y := 1}}{{end}}{{$y}}", "undefined variable $y"),
        ("{{env}}", "function 'env' is not defined"),
        ('{{if .Up}}{{define "x"}}{{end}}{{end}}', "{{define}} is only allowed at the top level"),
        ('{{define "x"}}{{end}}{{define "x"}}{{end}}', "'x' is defined twice"),
        ('{{define "x"}}1{{else}}2{{end}}', "unexpected {{else}}"),
        ('{{define "x"}}1', "missing {{end}}"),
        ("{{define x}}{{end}}", "needs a name in quotes"),
        ('{{$y := 1}}{{define "x"}}{{$y}}{{end}}', "undefined variable $y"),
        ('{{range .Ports}}{{block "x" .}}{{break}}{{end}}{{end}}', "outside {{range}}"),
        ('{{template "y"}}', "template 'y' is not defined"),
        ("{{lower 1}}", "lower: a number is not a string"),
        ("{{index .Ports 7}}", "7 is out of range"),
        ("{{len}}", "len: invalid arguments (0 given)"),
        ('{{eq 1 "a"}}', "cannot be compared"),
        ("{{range .Up}}{{end}}", "a boolean has no elements"),
        ("{{}}", "missing value"),
        ("{{.Name 1}}", "takes no arguments"),
    ],
)
def test_faults_are_told(template: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(template)
    assert problem in str(caught.value)


@given(st.text(alphabet="{}.$|()-:=,'\"`/* \nABifendrangelsewith019", max_size=80))
def test_any_text_is_a_template_or_told_not_to_be(text: str) -> None:
    try:
        Template(text).run(WEB)
    except InvalidInput:
        return
