"""A YAML file as plain values, with the place of each in the file, so that a fault can name its line.

A path is a tuple of keys and indexes: ("services", "web", "ports", 0).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shoal.errors import Fault, InvalidInput

YamlPath = tuple[str | int, ...]
MAX_BYTES = 1 << 20
"""Size of one file."""
MAX_VALUES = 100_000
"""Values after all aliases are written out; a small file can name billions (a "billion laughs")."""


@dataclass(frozen=True)
class Document:
    """One file.

    Attributes:
        name: as the user gave it.
        value: the top mapping.
        places: line and column, from 1, by path.
    """

    name: str
    value: dict[str, Any]
    places: Mapping[YamlPath, tuple[int, int]] = field(repr=False)

    def where(self, path: YamlPath) -> str:
        """ "file:line:column" of the value, or of the nearest one around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                line, column = self.places[path[:end]]
                return f"{self.name}:{line}:{column}"
        return self.name


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
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InvalidInput([Fault(f"{path}{place}", f"not YAML: {error.problem}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None
    if not isinstance(value, dict) or node is None:
        raise InvalidInput(f"{path}: the top of a Compose file is a mapping with `services`")
    return Document(str(path), value, dict(_places(path, node)))


def _content(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput(f"cannot read {path}: {reason}") from None


def _places(file: Path, top: yaml.Node) -> Iterator[tuple[YamlPath, tuple[int, int]]]:
    """Of mappings' keys and sequences' items where they stand; values that `<<` merges in keep their own place."""
    stack: list[tuple[YamlPath, yaml.Node, tuple[yaml.Node, ...]]] = [((), top, ())]
    count = 0
    while stack:
        path, node, above = stack.pop()
        count += 1
        if count > MAX_VALUES:
            raise InvalidInput(f"{file}: more than {MAX_VALUES:,} values once aliases are written out")
        if any(node is other for other in above):
            raise InvalidInput(f"{file}:{node.start_mark.line + 1}: an alias that contains itself")
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                merged = key.tag == "tag:yaml.org,2002:merge"
                place = path if merged else (*path, str(key.value))
                if not merged:
                    yield place, (key.start_mark.line + 1, key.start_mark.column + 1)
                stack.append((place, value, (*above, node)))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield (*path, index), (item.start_mark.line + 1, item.start_mark.column + 1)
                stack.append(((*path, index), item, (*above, node)))


def dotted(path: YamlPath) -> str:
    """ "services.web.ports[0]"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
