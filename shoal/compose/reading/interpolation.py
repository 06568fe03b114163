"""Interpolation of variables, as in the Compose Specification, chapter "Interpolation".

Forms: `$VAR`, `${VAR}`, `${VAR-default}`, `${VAR:-default}`, `${VAR?error}`, `${VAR:?error}`, `${VAR+other}`,
`${VAR:+other}`; `$$` is a dollar sign, and so is one that begins none of these. With a colon an empty value counts as
unset. What follows the operator may hold variables again. Keys are left as they are.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from shoal.compose.reading.yaml_tree import Override, YamlList, YamlMap, YamlPath
from shoal.errors import InvalidInput

_START = re.compile(r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*))")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
MAX_DEPTH = 20


class TrackedVariables(dict[str, str]):
    """Variables that record which of them were used without a default though they are not set."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.unset: dict[str, None] = {}


OnFault = Callable[[YamlPath, str], None]
"""Takes a path and what is wrong there."""


def interpolate(value: Any, variables: Mapping[str, str], on_fault: OnFault, path: YamlPath = ()) -> Any:
    """The value with the variables of all texts in it put in; locations are kept.

    Args:
        variables: asked with `[]` and `get`; a `TrackedVariables` records which of them were not set.
    """
    if isinstance(value, dict):
        items = {key: interpolate(item, variables, on_fault, (*path, str(key))) for key, item in value.items()}
        return YamlMap(items, value.locations, value.location) if isinstance(value, YamlMap) else items
    if isinstance(value, list):
        found = [interpolate(item, variables, on_fault, (*path, index)) for index, item in enumerate(value)]
        return YamlList(found, value.locations, value.location) if isinstance(value, YamlList) else found
    if isinstance(value, Override):
        return Override(interpolate(value.value, variables, on_fault, path))
    if isinstance(value, str) and "$" in value:
        try:
            return substitute(value, variables)
        except InvalidInput as error:
            on_fault(path, str(error))
    return value


def substitute(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """One text with its variables put in; an unset one without default is empty.

    Raises:
        InvalidInput: a form that is not one of those above, or a required variable that is not set.
    """
    if depth > MAX_DEPTH:
        raise InvalidInput("variables are nested too deeply")
    parts, position = [], 0
    while (dollar := text.find("$", position)) >= 0:
        parts.append(text[position:dollar])
        match = _START.match(text, dollar)
        if match is None:
            if text.startswith("${", dollar):
                raise InvalidInput(
                    f"{text!r}: invalid interpolation format: a name must follow ${{; use $$ for a dollar sign"
                )
            parts.append("$")
            position = dollar + 1
            continue
        position = match.end()
        if match["dollar"]:
            parts.append("$")
        elif match["plain"]:
            parts.append(_value(match["plain"], variables))
        else:
            end = _closing(text, position)
            parts.append(_expand(match["braced"], text[position:end], variables, depth))
            position = end + 1
    return "".join([*parts, text[position:]])


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    raise InvalidInput(f"{text!r}: invalid interpolation format: missing }}")


def _expand(name: str, rest: str, variables: Mapping[str, str], depth: int) -> str:
    value = variables.get(name)
    if not rest:
        return _value(name, variables)
    operator = next((sign for sign in _OPERATORS if rest.startswith(sign)), None)
    if operator is None:
        raise InvalidInput(f"invalid interpolation format ${{{name}{rest}}}")
    word = rest[len(operator) :]
    is_set = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return substitute(word, variables, depth + 1) if is_set else ""
    if is_set:
        return value or ""
    if operator.endswith("?"):
        reason = substitute(word, variables, depth + 1)
        raise InvalidInput(f"required variable {name} is not set" + (f": {reason}" if reason else ""))
    return substitute(word, variables, depth + 1)


def _value(name: str, variables: Mapping[str, str]) -> str:
    if isinstance(variables, TrackedVariables) and name not in variables:
        variables.unset[name] = None
    return variables.get(name, "")
