"""Command-line options of health and metrics, which all daemons have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from shoal.monitoring.settings import default_address

Command = Callable[..., Any]
_PATH = click.Path(path_type=Path)


def monitoring_options(option: Callable[..., Callable[[Command], Command]], port: int) -> Callable[[Command], Command]:
    """Options for a program's `run`.

    Args:
        option: the program's own `click.option` with its environment variables.
    """

    def add(command: Command) -> Command:
        for each in reversed(_options(option, port)):
            command = each(command)
        return command

    return add


def _options(option: Callable[..., Callable[[Command], Command]], port: int) -> list[Callable[[Command], Command]]:
    return [
        option(
            "--monitoring-address",
            default="",
            metavar="HOST:PORT",
            help="HOST:PORT to serve /healthz, /readyz and Prometheus metrics on, or off.  "
            f"[default: {default_address(port)}]",
        ),
        option(
            "--monitoring-token-file",
            type=_PATH,
            default=None,
            help="File that contains the bearer token for metrics; required unless the address is a loopback address.",
        ),
        option(
            "--monitoring-certificate",
            type=_PATH,
            default=None,
            help="PEM file with the TLS certificate of the monitoring address.",
        ),
        option(
            "--monitoring-key",
            type=_PATH,
            default=None,
            help="PEM file with the TLS key of the monitoring address.",
        ),
    ]
