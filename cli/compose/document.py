"""Reading one YAML file into a tree.

Scalars are read as YAML 1.2 has them, as other tools for Compose do: `yes`, `22:22` and dates are texts; 0440 is octal
all the same, for modes of files are written so.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.compose.tree import Map, Override, Place, Reset, Seq, YamlPath, where
from shoal.errors import Fault, InvalidInput

MAX_BYTES = 1 << 20
"""Size of one file."""
MAX_VALUES = 100_000
"""Values after all aliases are written out; a small file can name billions (a "billion laughs")."""
MAX_DEPTH = 100

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "merge"))


class _Loader(yaml.SafeLoader):
    """The resolvers of YAML 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  # the base class has it so


for _name, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0))$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN))$",
        "-+.0123456789",
    ),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(_pattern), list(_first))


@dataclass(frozen=True)
class Document:
    """One file: its name as the user gave it, and the top mapping."""

    name: str
    value: Map

    def where(self, path: YamlPath) -> str:
        """ "file:line:column" of the value, or of the nearest one around it."""
        place = where(self.value, path)
        return str(place) if place is not None and path else self.name


def read(path: Path, text: str | None = None) -> Document:
    """Read a file, or the text that stands for it (standard input).

    Raises:
        InvalidInput: it cannot be read, is too large, is not YAML, or its top is not a mapping.
    """
    if text is None:
        text = _content(path)
    if len(text.encode()) > MAX_BYTES:
        raise InvalidInput(f"{path}: the file has more than {MAX_BYTES >> 20} MiB")
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise InvalidInput(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        node = loader.get_single_node()
        value = _Builder(str(path), loader).build(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InvalidInput([Fault(f"{path}{place}", f"not YAML: {error.problem}")]) from None
    except RecursionError:
        raise InvalidInput(f"{path}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None
    finally:
        loader.dispose()
    if not isinstance(value, Map):
        raise InvalidInput(f"{path}: the top of a Compose file is a mapping with `services`")
    return Document(str(path), value)


def _content(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput(f"cannot read {path}: {reason}") from None


class _Builder:
    """From YAML nodes to a tree; aliases are written out."""

    def __init__(self, file: str, loader: _Loader) -> None:
        self._file = file
        self._loader = loader
        self._count = 0

    def build(self, node: yaml.Node, depth: int = 0) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise InvalidInput(f"{self._file}: more than {MAX_VALUES:,} values once aliases are written out")
        if depth > MAX_DEPTH:
            raise self._fault(node, f"nested more than {MAX_DEPTH} levels deep, or an alias that contains itself")
        if node.tag == "!reset":
            return Reset()
        if node.tag == "!override":
            return Override(self._untagged(node, depth))
        return self._untagged(node, depth)

    def _untagged(self, node: yaml.Node, depth: int) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            items = [self.build(item, depth + 1) for item in node.value]
            return Seq(items, [self._place(item) for item in node.value], self._place(node))
        if node.tag == "!override":
            resolved: str = self._loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
            node = yaml.ScalarNode(resolved, node.value, node.start_mark, node.end_mark)
        if node.tag not in _SCALARS:
            raise self._fault(node, f"tag {node.tag.replace(_TAG, '!!')} is not one that Compose has")
        if node.tag == f"{_TAG}merge":
            return node.value
        try:
            return self._loader.construct_object(node)
        except (LookupError, ValueError, AttributeError):  # each as PyYAML comes upon it
            raise self._fault(node, f"the value is not what its tag {node.tag.replace(_TAG, '!!')} says") from None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Map:
        made = Map({}, {}, self._place(node))
        merged: list[Map] = []
        for key, item in node.value:
            if key.tag == f"{_TAG}merge":
                merged += self._merged(item, depth)
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise self._fault(key, "a key is a single value")
            if key.value in made:
                raise self._fault(key, f"key {key.value!r} is there twice, first in line {made.places[key.value].line}")
            made[key.value] = self.build(item, depth + 1)
            made.places[key.value] = self._place(key)
        for other in merged:
            for name in other:
                if name not in made:
                    made[name], made.places[name] = other[name], other.places[name]
        return made

    def _merged(self, node: yaml.Node, depth: int) -> list[Map]:
        """What `<<` brings: one mapping, or several of which the first has precedence."""
        value = self.build(node, depth + 1)
        found = value if isinstance(value, Seq) else [value]
        if not all(isinstance(each, Map) for each in found):
            raise self._fault(node, "<< takes a mapping, or a list of them")
        return list(found)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _fault(self, node: yaml.Node, message: str) -> InvalidInput:
        return InvalidInput([Fault(str(self._place(node)), message)])
