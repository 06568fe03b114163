"""Go's own functions of templates, and those that Docker adds (docker/cli, templates/templates.go)."""

import html
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from cli.go_template.comparisons import COMPARISONS
from cli.go_template.printing import json_of, sprint, sprintf, text_of
from cli.go_template.template_limits import ARGUMENT_CHARACTERS, WIDTH
from cli.go_template.template_values import TemplateMethod, is_true, kind
from shoal.errors import InvalidInput

Function = Callable[..., Any]


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(_string("index", key))
            continue
        if not isinstance(value, list | tuple | str):
            raise InvalidInput(f"index: {kind(value)} cannot be indexed")
        place = _integer("index", key)
        if not 0 <= place < len(value):
            raise InvalidInput(f"index: {place} is out of range; the length is {len(value)}")
        value = value[place] if not isinstance(value, str) else ord(value[place])
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, list | tuple | str) or len(bounds) > 2:
        raise InvalidInput(f"slice: {kind(value)} with {len(bounds)} bounds cannot be sliced")
    first, last = [_integer("slice", each) for each in bounds] + [0, len(value)][len(bounds) :]
    if not 0 <= first <= last <= len(value):
        raise InvalidInput(f"slice: {first} to {last} is not within 0 to {len(value)}")
    return value[first:last]


def _len(value: Any) -> int:
    if not isinstance(value, dict | list | tuple | str):
        raise InvalidInput(f"len: {kind(value)} has no length")
    return len(value)


def _call(method: Any, *arguments: Any) -> Any:
    if not isinstance(method, TemplateMethod):
        raise InvalidInput(f"call: {kind(method)} is not a function")
    return method.call(*arguments)


def _join(values: Any, between: Any) -> str:
    if not isinstance(values, list | tuple):
        raise InvalidInput(f"join: {kind(values)} is not a list")
    texts = list(map(text_of, values))
    if sum(map(len, texts)) + len(texts) * len(_string("join", between)) > ARGUMENT_CHARACTERS:
        raise InvalidInput(f"join: too long; the maximum is {ARGUMENT_CHARACTERS:,} characters")
    return str(between).join(texts)


def _split(text: Any, between: Any) -> list[str]:
    text, between = _string("split", text), _string("split", between)
    return text.split(between) if between else list(text)


def _pad(text: Any, before: Any, after: Any) -> str:
    sizes = [_integer("pad", before), _integer("pad", after)]
    if not all(0 <= size <= WIDTH for size in sizes):
        raise InvalidInput(f"pad: must be 0 to {WIDTH:,}")
    text = _string("pad", text)
    return " " * sizes[0] + text + " " * sizes[1] if text else ""


def _truncate(text: Any, length: Any) -> str:
    return _string("truncate", text)[: max(0, _integer("truncate", length))]


def _title(text: Any) -> str:
    text = _string("title", text)
    return "".join(
        each.title() if not index or not text[index - 1].isalnum() else each for index, each in enumerate(text)
    )


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{name}: {kind(value)} is not a string")
    return value


def _integer(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"{name}: {kind(value)} is not an integer")
    return value


GO: Mapping[str, Function] = {
    **COMPARISONS,
    "not": lambda value: not is_true(value),
    "index": _index,
    "slice": _slice,
    "len": _len,
    "call": _call,
    "print": lambda *values: sprint(values),
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
    "printf": lambda form, *values: sprintf(_string("printf", form), values),
    "html": lambda *values: html.escape(sprint(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "urlquery": lambda *values: urllib.parse.quote_plus(sprint(values)),
    "js": lambda *values: json_of(sprint(values))[1:-1],
}
"""But for `and` and `or`, which do not evaluate all of their arguments."""

DOCKER: Mapping[str, Function] = {
    "json": json_of,
    "join": _join,
    "split": _split,
    "lower": lambda text: _string("lower", text).lower(),
    "upper": lambda text: _string("upper", text).upper(),
    "title": _title,
    "pad": _pad,
    "truncate": _truncate,
}

FUNCTIONS: Mapping[str, Function] = {**GO, **DOCKER}

HEADING_FUNCTIONS: Mapping[str, Function] = {
    **GO,
    **{name: lambda value, *_: text_of(value) for name in DOCKER},
    "split": lambda value, *_: [text_of(value)],
    "join": lambda value, *_: text_of(value[0] if isinstance(value, list) else value),
}
"""In the first line of a table: what changes a value leaves its heading alone."""
