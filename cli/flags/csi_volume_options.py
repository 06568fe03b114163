"""Flags of `docker volume create` for CSI volumes that Shoal does not support."""

from collections.abc import Callable
from typing import Any

import click

from shoal.errors import InvalidInput

UNSUPPORTED = {
    "--type": "volumes are always filesystems; omit it",
    "--scope": "use --access-mode single-node-… or multi-node-…",
    "--sharing": "use --access-mode …-writer, …-reader-only or multi-node-multi-writer",
    "--availability": "drain the nodes whose tasks use the volume, or scale their services down",
    "--group": "specify the volume itself in --mount",
    "--topology-required": "the topology is chosen by the driver; use placement constraints on the service",
    "--topology-preferred": "the topology is chosen by the driver; use placement constraints on the service",
}
"""Flags of `docker volume create` that are not supported, with what to do instead."""


Command = Callable[..., Any]


def reject_unsupported_options(command: Command) -> Command:
    """Hidden options that say what to do instead."""
    for name in UNSUPPORTED:
        command = click.option(name, hidden=True, expose_value=False, callback=_unsupported)(command)
    return command


def _unsupported(_: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise InvalidInput(f"{option.opts[0]} is not supported: {UNSUPPORTED[option.opts[0]]}")
