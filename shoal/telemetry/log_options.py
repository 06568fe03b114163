"""Command-line options of a daemon's log, which agent, engine and console share."""

from collections.abc import Callable
from typing import Any

import click

from shoal.telemetry import log_formatters

Command = Callable[..., Any]


def log_format_options(option: Callable[..., Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """`--log-format`, and `--log-json` of earlier releases.

    Args:
        option: the program's own `click.option` with its environment variables.
    """
    by_name = option(
        "--log-format",
        default=log_formatters.TEXT,
        type=click.Choice(log_formatters.FORMATS),
        show_default=True,
        help="Log format; json is one object per line.",
    )
    earlier = option("--log-json", is_flag=True, hidden=True, help="As --log-format json.")
    return lambda command: by_name(earlier(command))
