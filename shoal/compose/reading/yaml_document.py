"""Read one YAML file into a tree with source locations.

Scalars are read as YAML 1.2 has them, as other tools for Compose do: `yes`, `22:22` and dates are texts; 0440 is octal
all the same, for modes of files are written so.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shoal.compose.reading.file_reader import FileReader, read_text
from shoal.compose.reading.yaml_tree import Override, Reset, SourceLocation, YamlList, YamlMap, YamlPath, locate
from shoal.errors import Fault, InvalidInput, NotFound

MAX_VALUES = 100_000
"""Values after all aliases are written out; a small file can name billions (a "billion laughs")."""
MAX_DEPTH = 100

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "merge"))


class _Yaml12Loader(yaml.SafeLoader):
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
    _Yaml12Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(_pattern), list(_first))


@dataclass(frozen=True)
class YamlDocument:
    """One file: its name as the user gave it, and the top mapping."""

    name: str
    value: YamlMap

    def where(self, path: YamlPath) -> str:
        """ "file:line:column" of the value, or of the nearest one around it."""
        location = locate(self.value, path)
        return str(location) if location is not None and path else self.name


def read_document(path: Path, files: FileReader) -> YamlDocument:
    """Read a file.

    Raises:
        InvalidInput: it cannot be read, is too large, is not YAML, or its top is not a mapping.
    """
    try:
        return parse_document(path, read_text(path, files))
    except NotFound as error:
        raise InvalidInput(str(error)) from None


def parse_document(path: Path, text: str) -> YamlDocument:
    """The document in the text of a file.

    Args:
        path: its name in errors; files that it names are relative to its directory.
    Raises:
        InvalidInput: it is not YAML, or its top is not a mapping.
    """
    try:
        loader = _Yaml12Loader(text)
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise InvalidInput(f"{path}: invalid YAML: {' '.join(str(error).split())}") from None
    try:
        node = loader.get_single_node()
        value = _TreeBuilder(str(path), loader).build(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        location = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InvalidInput([Fault(f"{path}{location}", f"invalid YAML: {error.problem}")]) from None
    except RecursionError:
        raise InvalidInput(f"{path}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(f"{path}: invalid YAML: {error}") from None
    finally:
        loader.dispose()
    if not isinstance(value, YamlMap):
        raise InvalidInput(f"{path}: the top level must be a mapping")
    return YamlDocument(str(path), value)


class _TreeBuilder:
    """From YAML nodes to a tree; aliases are written out."""

    def __init__(self, file: str, loader: _Yaml12Loader) -> None:
        self._file = file
        self._loader = loader
        self._count = 0

    def build(self, node: yaml.Node, depth: int = 0) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise InvalidInput(f"{self._file}: too many values after expanding aliases; the maximum is {MAX_VALUES:,}")
        if depth > MAX_DEPTH:
            raise self._fault(node, f"nested too deeply, or a recursive alias; the maximum is {MAX_DEPTH} levels")
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
            return YamlList(items, [self._location(item) for item in node.value], self._location(node))
        if node.tag == "!override":
            resolved: str = self._loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
            node = yaml.ScalarNode(resolved, node.value, node.start_mark, node.end_mark)
        if node.tag not in _SCALARS:
            raise self._fault(node, f"unknown tag {node.tag.replace(_TAG, '!!')}")
        if node.tag == f"{_TAG}merge":
            return node.value
        try:
            return self._loader.construct_object(node)
        except (LookupError, ValueError, AttributeError):  # each as PyYAML comes upon it
            raise self._fault(node, f"invalid value for tag {node.tag.replace(_TAG, '!!')}") from None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> YamlMap:
        made = YamlMap({}, {}, self._location(node))
        merged: list[YamlMap] = []
        for key, item in node.value:
            if key.tag == f"{_TAG}merge":
                merged += self._merged(item, depth)
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise self._fault(key, "a key must be a scalar")
            if key.value in made:
                raise self._fault(
                    key, f"duplicate key {key.value!r}; first defined in line {made.locations[key.value].line}"
                )
            made[key.value] = self.build(item, depth + 1)
            made.locations[key.value] = self._location(key)
        for other in merged:
            for name in other:
                if name not in made:
                    made[name], made.locations[name] = other[name], other.locations[name]
        return made

    def _merged(self, node: yaml.Node, depth: int) -> list[YamlMap]:
        """The values of `<<`: one mapping, or several of which the first has precedence."""
        value = self.build(node, depth + 1)
        found = value if isinstance(value, YamlList) else [value]
        if not all(isinstance(each, YamlMap) for each in found):
            raise self._fault(node, "<< must be a mapping or a list of mappings")
        return list(found)

    def _location(self, node: yaml.Node) -> SourceLocation:
        return SourceLocation(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _fault(self, node: yaml.Node, message: str) -> InvalidInput:
        return InvalidInput([Fault(str(self._location(node)), message)])
