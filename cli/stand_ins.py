"""Functions of modules that libraries import for these alone at each start. They do the same, and the modules are
loaded only when something else of them is used.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any


def cleandoc(text: str) -> str:
    """As `inspect.cleandoc`, which click calls for each option."""
    lines = text.expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    found = [lines[0].lstrip(), *(line[margin:] for line in lines[1:])]
    while found and not found[-1]:
        found.pop()
    while found and not found[0]:
        found.pop(0)
    return "\n".join(found)


def get_annotations(of: Any, **options: Any) -> Mapping[str, object]:
    """As `inspect.get_annotations`, which `dataclasses` of Python 3.13 calls for each class."""
    if options or not isinstance(of, type):
        import inspect

        _ = inspect.signature  # loads the module, whose own function takes this one's place
        return inspect.get_annotations(of, **options)
    return dict(vars(of).get("__annotations__", {}))


def system() -> str:
    """As `platform.system`, which `uuid` calls."""
    return os.uname().sysname


STAND_INS: Mapping[str, Mapping[str, Callable[..., object]]] = {
    "inspect": {"cleandoc": cleandoc, "get_annotations": get_annotations},
    "platform": {"system": system},
}
"""Module: name: function."""
