"""Command-line options of a daemon's log, which agent, engine and console share."""

from collections.abc import Callable
from typing import Any

import click

from shoal.telemetry.log_formatters import FORMATS, LEVELS, TEXT

Command = Callable[..., Any]


def log_level_option(option: Callable[..., Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """`--log-level`.

    Args:
        option: the program's own `click.option` with its environment variables.
    """
    return option(
        "--log-level", default="info", type=click.Choice(LEVELS), show_default=True, help="Minimum log level."
    )


def log_format_options(option: Callable[..., Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """`--log-format`, and `--log-json` of earlier releases.

    Args:
        option: the program's own `click.option` with its environment variables.
    """
    by_name = option(
        "--log-format",
        default=TEXT,
        type=click.Choice(FORMATS),
        show_default=True,
        help="Log format; json is one object per line.",
    )
    earlier = option("--log-json", is_flag=True, hidden=True, help="As --log-format json.")
    return lambda command: by_name(earlier(command))
