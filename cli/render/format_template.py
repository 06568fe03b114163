"""`--format` with a Go template: a line for each object, or a table with headings (`table {{.ID}}\\t{{.Name}}`)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import click

from cli.go_template.evaluate import Template
from cli.go_template.functions import HEADING_FUNCTIONS
from cli.go_template.template_values import FieldRecord, TemplateMethod
from cli.render.output_terminal import strip_control
from cli.render.table import FieldSource, aligned
from shoal.errors import InvalidInput

_TABLE = "table "
_ACTION = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_WORDS = {
    "id": "ID",
    "ids": "IDs",
    "cpus": "CPUs",
    "ipv6": "IPv6",
    "pids": "PIDs",
    "ca": "CA",
    "mtu": "MTU",
    "ip": "IP",
}
_HEADINGS = {
    "CPUs": "CPUS",
    "PIDs": "PIDS",
    "IPv6": "IPV6",
    "CPUPerc": "CPU %",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "CreatedAt": "CREATED",
    "UpdatedAt": "UPDATED",
}
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def parse_format(form: str) -> Template:
    """The template of a `--format`; a tab and an end of line may be written as in Go, `\\t` and `\\n`.

    Raises:
        InvalidInput: it is none; the text begins with the flag.
    """
    parts = _ACTION.split(form.removeprefix(_TABLE))
    parts[::2] = (text.replace("\\t", "\t").replace("\\n", "\n") for text in parts[::2])
    try:
        return Template("".join(parts))
    except InvalidInput as error:
        raise InvalidInput(f"--format: {error}") from None


def print_template(form: str, records: Iterable[FieldRecord]) -> None:
    """Print what the template makes of each.

    Raises:
        InvalidInput: a field that is not there, or a value that does not fit.
    """
    template = parse_format(form)
    try:
        lines = [strip_control(template.run(record)) for record in records]
        if form.startswith(_TABLE):
            lines.insert(0, template.run(_Headings(), functions=HEADING_FUNCTIONS))
            lines = aligned([line.split("\t") for line in lines])
    except InvalidInput as error:
        raise InvalidInput(f"--format: {error}") from None
    for line in lines:
        click.echo(line)


def row_record(row: Mapping[str, Any], names: Mapping[str, FieldSource]) -> FieldRecord:
    """A row by Docker's names of its fields, and all of its columns spelt alike: `memory_bytes` is `.MemoryBytes`.

    So are the fields of what a column lists: `{{range .Locations}}{{.Node}} {{end}}`.
    """
    made = FieldRecord(
        {camel(key): document_record(value) if isinstance(value, list) else value for key, value in row.items()}
    )
    if isinstance(labels := row.get("labels"), dict):
        made["Labels"] = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        made["Label"] = TemplateMethod(lambda name: labels.get(name, ""))
    for name, source in names.items():
        made[name] = row[source] if isinstance(source, str) else source(row)
    return made


def document_record(value: Any) -> Any:
    """A document that is shown elsewhere as YAML, as records; labels and options keep their names."""
    if isinstance(value, dict):
        return FieldRecord(
            {
                camel(str(name)): dict(each) if name == "labels" else document_record(each)
                for name, each in value.items()
            }
        )
    return [document_record(each) for each in value] if isinstance(value, list | tuple) else value


def camel(key: str) -> str:
    """ "DesiredState" of "desired_state"."""
    return "".join(_WORDS.get(word, word[:1].upper() + word[1:]) for word in key.split("_"))


def heading(name: str) -> str:
    """ "DESIRED STATE" of "DesiredState"."""
    return _HEADINGS.get(name) or _CAPITALS.sub(" ", name).upper()


class _Headings(dict[str, Any]):
    """For each field its heading."""

    def get(self, name: str, _: Any = None) -> Any:
        return TemplateMethod(lambda label: label) if name == "Label" else heading(name)
