"""Environment files of the Compose Specification, section "Env_file format", and its `raw` format."""

import re
from collections.abc import Mapping
from pathlib import Path

from shoal.compose.reading.file_reader import FileReader, read_text
from shoal.compose.reading.interpolation import substitute
from shoal.errors import Fault, InvalidInput, NotFound

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_./-]*)\s*(?:(?P<sign>[=:])[ \t]*)?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$$"}


def read_env_file(
    path: Path, variables: Mapping[str, str], files: FileReader, *, required: bool = True, raw: bool = False
) -> dict[str, str | None]:
    """The variables of a file; None for a name without `=`, which is unset.

    Args:
        variables: for `$NAME` in unquoted and double-quoted values; those of lines further up come before them.
        raw: NAME=value a line, and the value is all that follows.
    Raises:
        InvalidInput: it cannot be read (and is required), or a line is not of that form.
    """
    try:
        text = read_text(path, files)
    except NotFound as error:
        if required:
            raise InvalidInput(str(error)) from None
        return {}
    return _parse_raw(text) if raw else _EnvFileParser(path, text, variables).parse()


def _parse_raw(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        name, sign, value = line.partition("=")
        if name.strip() and not name.lstrip().startswith("#"):
            found[name.strip()] = value if sign else None
    return found


class _EnvFileParser:
    """Over the text of one file; a quoted value may go over several lines."""

    def __init__(self, path: Path, text: str, variables: Mapping[str, str]) -> None:
        self._path = path
        self._text = text
        self._variables = variables
        self._found: dict[str, str | None] = {}

    def parse(self) -> dict[str, str | None]:
        position = 0
        while position < len(self._text):
            position = self._line(position)
        return self._found

    def _line(self, start: int) -> int:
        """Read what begins there; where the next line begins."""
        end = self._end_of_line(start)
        text = self._text[start:end]
        if not text.strip() or text.lstrip().startswith("#"):
            return end + 1
        match = _LINE.match(self._text, start, end)
        if match is None or (match["sign"] is None and self._text[match.end() : end].strip()):
            raise self._fault(start, f"{text.strip()!r} must be in the form NAME=VALUE")
        if match["sign"] is None:
            self._found[match["name"]] = None
            return end + 1
        if self._text[match.end() : match.end() + 1] in ("'", '"'):
            value, end = self._quoted(match.end())
        else:
            value = self._expanded(start, _uncommented(self._text[match.end() : end]))
        self._found[match["name"]] = value
        return end + 1

    def _quoted(self, start: int) -> tuple[str, int]:
        """The value, and the end of the line in which its closing quote stands."""
        quote, position, parts = self._text[start], start + 1, []
        while True:
            if position >= len(self._text):
                raise self._fault(start, "unterminated quote")
            sign = self._text[position]
            if sign == quote:
                break
            if sign == "\\" and position + 1 < len(self._text):
                parts.append(_unescaped(self._text[position + 1], quote))
                position += 2
            else:
                parts.append(sign)
                position += 1
        end = self._end_of_line(position)
        rest = self._text[position + 1 : end].strip()
        if rest and not rest.startswith("#"):
            raise self._fault(start, f"unexpected {rest!r} after the closing quote")
        value = "".join(parts)
        return (self._expanded(start, value) if quote == '"' else value), end

    def _expanded(self, start: int, value: str) -> str:
        known = {name: text for name, text in self._found.items() if text is not None}
        try:
            return substitute(value, {**known, **self._variables}) if "$" in value else value
        except InvalidInput as error:
            raise self._fault(start, error.faults[0].message) from None

    def _end_of_line(self, start: int) -> int:
        end = self._text.find("\n", start)
        return len(self._text) if end < 0 else end

    def _fault(self, position: int, message: str) -> InvalidInput:
        return InvalidInput([Fault(f"{self._path}:{self._text.count(chr(10), 0, position) + 1}", message)])


def _uncommented(text: str) -> str:
    text = text.strip()
    if text.startswith("#"):
        return ""
    return re.split(r"\s#", text, maxsplit=1)[0].rstrip()


def _unescaped(sign: str, quote: str) -> str:
    if sign == quote:
        return sign
    if quote == "'":
        return f"\\{sign}"
    return _ESCAPES.get(sign, f"\\{sign}")
