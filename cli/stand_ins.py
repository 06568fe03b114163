"""Functions of modules that libraries import for these alone at each start. They do the same, and the modules are
loaded only when something else of them is used.
"""

import os
from collections.abc import Callable, Mapping


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


def system() -> str:
    """As `platform.system`, which `uuid` calls."""
    return os.uname().sysname


STAND_INS: Mapping[str, Mapping[str, Callable[..., object]]] = {
    "inspect": {"cleandoc": cleandoc},
    "platform": {"system": system},
}
"""Module: name: function."""
