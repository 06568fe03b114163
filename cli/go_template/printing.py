"""Values as Go's fmt package says them: %v and the verbs of printf."""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from cli.go_template.template_limits import WIDTH
from cli.go_template.template_values import TemplateMethod, plain
from shoal.errors import InvalidInput

_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d*))?(.)", re.DOTALL)


def text_of(value: Any, nothing: str = "<nil>") -> str:
    """As %v.

    Args:
        nothing: what stands for nil: "<no value>" where a whole action is nil.
    """
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict):
        entries = (
            f"{name}:{text_of(each)}" for name, each in sorted(value.items()) if not isinstance(each, TemplateMethod)
        )
        return f"map[{' '.join(entries)}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(text_of, value))}]"
    return "<function>" if isinstance(value, TemplateMethod) else str(value)


def json_of(value: Any) -> str:
    """As Go's encoding/json, which leaves no spaces."""
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False, default=str)


def sprint(values: Sequence[Any]) -> str:
    """As Print: a space between two values neither of which is a string."""
    made = ""
    for index, value in enumerate(values):
        apart = index > 0 and not isinstance(value, str) and not isinstance(values[index - 1], str)
        made += (" " if apart else "") + text_of(value)
    return made


def sprintf(form: str, values: Sequence[Any]) -> str:
    """As Printf; what does not fit is said in the text, as there.

    Raises:
        InvalidInput: a width or precision of more than `WIDTH`.
    """
    left = list(values)

    def fill(match: re.Match[str]) -> str:
        flags, width, precision, verb = match[1], _bounded(match[2]), _bounded(match[3]), match[4]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        return _padded(_verb(left.pop(0), verb, flags, precision), flags, width or 0)

    made = _VERB.sub(fill, form)
    return made + (f"%!(EXTRA {', '.join(map(text_of, left))})" if left else "")


def _bounded(digits: str | None) -> int | None:
    if digits is None or not digits:
        return None if digits is None else 0
    if len(digits) > 6 or int(digits) > WIDTH:
        raise InvalidInput(f"printf: {digits[:20]} is too large; the maximum is {WIDTH:,}")
    return int(digits)


def _verb(value: Any, verb: str, flags: str, precision: int | None) -> str:
    made = None
    if verb in "vs":
        made = text_of(value, "<nil>" if verb == "v" else "%!s(<nil>)")
        made = made if precision is None else made[:precision]
    elif verb == "q" and isinstance(value, str):
        made = json.dumps(value, ensure_ascii=False)
    elif verb == "t" and isinstance(value, bool):
        made = text_of(value)
    elif verb in _INTEGERS and isinstance(value, int) and not isinstance(value, bool):
        made = _INTEGERS[verb](value)
    elif verb in "xX" and isinstance(value, str):
        made = format(int.from_bytes(value.encode()), f"0{2 * len(value.encode())}{verb}") if value else ""
    elif verb in "feEgG" and isinstance(value, float):
        made = format(value, f".{6 if precision is None else precision}{verb}") if verb in "feE" else _float(value)
    if made is None:
        return f"%!{verb}({text_of(value)})"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"+{made}" if "+" in flags and is_number and not made.startswith("-") else made


_INTEGERS: dict[str, Callable[[int], str]] = {
    "d": str,
    "x": lambda number: format(number, "x"),
    "X": lambda number: format(number, "X"),
    "o": lambda number: format(number, "o"),
    "b": lambda number: format(number, "b"),
    "c": lambda number: chr(number) if 0 <= number < 0x110000 else "\ufffd",
    "U": lambda number: f"U+{number:04X}",
}


def _padded(text: str, flags: str, width: int) -> str:
    if "-" in flags:
        return text.ljust(width)
    sign = text[:1] if text[:1] in ("+", "-") else ""
    return sign + text[len(sign) :].rjust(width - len(sign), "0") if "0" in flags else text.rjust(width)


def _float(value: float) -> str:
    """As %g: the shortest that reads back as the same, with an exponent below 1e-4 and from 1e6 on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return repr(value).removesuffix(".0")
    mantissa, _, exponent = next(
        made for digits in range(17) if float(made := format(value, f".{digits}e")) == value
    ).partition("e")
    return f"{mantissa}e{int(exponent):+03d}"
