"""Flags of `volume create` for volumes of CSI drivers."""

from collections.abc import Callable
from typing import Any

import click

from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    MULTI_NODE_READER_ONLY,
    SINGLE_NODE_READER_ONLY,
    SINGLE_NODE_WRITER,
    AccessMode,
    VolumeSecret,
)
from shoal.errors import InvalidInput

ACCESS_MODES: dict[str, AccessMode.ValueType] = {
    "single-node-writer": SINGLE_NODE_WRITER,
    "single-node-reader-only": SINGLE_NODE_READER_ONLY,
    "multi-node-reader-only": MULTI_NODE_READER_ONLY,
    "multi-node-multi-writer": MULTI_NODE_MULTI_WRITER,
}

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


def parse_secret(text: str) -> VolumeSecret:
    """ "KEY=SECRET", as Docker has it.

    Raises:
        InvalidInput: it has another form.
    """
    key, _, source = text.partition("=")
    if not key or not source:
        raise InvalidInput(f"--secret: {text!r} must be in the form KEY=SECRET (driver key, secret name or ID)")
    return VolumeSecret(key=key, source=source)


Command = Callable[..., Any]


def reject_unsupported_options(command: Command) -> Command:
    """Hidden options that say what to do instead."""
    for name in UNSUPPORTED:
        command = click.option(name, hidden=True, expose_value=False, callback=_unsupported)(command)
    return command


def _unsupported(_: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise InvalidInput(f"{option.opts[0]} is not supported: {UNSUPPORTED[option.opts[0]]}")
