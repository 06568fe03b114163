"""Options of a daemon that may also be set in its environment."""

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def environment_option(program: str) -> Callable[..., Callable[[Command], Command]]:
    """`click.option` for a program's options `--<name>`, which SHOAL_<PROGRAM>_<NAME> sets too, as its help says."""

    def option(name: str, **more: Any) -> Callable[[Command], Command]:
        variable = f"SHOAL_{program}_{name.removeprefix('--')}".replace("-", "_").upper()
        return click.option(name, envvar=variable, show_envvar=True, **more)

    return option
