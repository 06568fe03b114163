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

REFUSED = {
    "--type": "volumes are file systems; leave it out",
    "--scope": "say it with --access-mode: single-node-… or multi-node-…",
    "--sharing": "say it with --access-mode: …-writer, …-reader-only, or multi-node-multi-writer",
    "--availability": "drain the nodes whose tasks use the volume, or scale their services down",
    "--group": "name the volume itself in --mount",
    "--topology-required": "the driver chooses among the places of its nodes; constrain the service instead",
    "--topology-preferred": "the driver chooses among the places of its nodes; constrain the service instead",
}
"""Flags of `docker volume create` that are not supported, with what to do instead."""


def parse_secret(text: str) -> VolumeSecret:
    """ "KEY=SECRET", as Docker has it.

    Raises:
        InvalidInput: it has another form.
    """
    key, _, source = text.partition("=")
    if not key or not source:
        raise InvalidInput(
            f"--secret: {text!r} is not of the form KEY=SECRET: the driver's key, the secret's name or id"
        )
    return VolumeSecret(key=key, source=source)


Command = Callable[..., Any]


def refuse_what_docker_has(command: Command) -> Command:
    """Hidden options that say what to do instead."""
    for name in REFUSED:
        command = click.option(name, hidden=True, expose_value=False, callback=_refuse)(command)
    return command


def _refuse(_: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise InvalidInput(f"{option.opts[0]} is not supported: {REFUSED[option.opts[0]]}")
