"""`shoal-console`: the command line of the console."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from console.settings import LOCAL_ADDRESS, ConsoleSettings
from shoal.errors import ShoalError
from shoal.monitoring.options import monitoring_options
from shoal.monitoring.settings import CONSOLE_PORT
from shoal.telemetry import log_formatters
from shoal.telemetry.log_options import log_format_options

Command = Callable[..., Any]

FAILURE = 1
_PATH = click.Path(path_type=Path)


def _option(name: str, *, help: str, **more: Any) -> Callable[[Command], Command]:  # noqa: A002  # click's word
    variable = "SHOAL_CONSOLE_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=variable, show_envvar=True, help=help, **more)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="shoal", prog_name="shoal-console")
@_option("--context", default="", metavar="NAME", help="Context of the cluster to show.  [default: the current one]")
@_option("--listen", default="", metavar="HOST:PORT", help="Address to serve on.  [default: [::]:7444]")
@_option("--names", default="", metavar="NAMES", help="More names of this console, comma-separated: a balancer's.")
@_option(
    "--tls-certificate",
    default=None,
    type=_PATH,
    help="Server certificate (PEM).  [default: one of the cluster's authority, renewed by itself]",
)
@_option("--tls-key", default=None, type=_PATH, help="Private key of the server certificate (PEM).")
@_option(
    "--session-key-file",
    default=None,
    type=_PATH,
    help="Key of sessions, created if it does not exist; consoles behind a balancer share it.  "
    "[default: sessions end with the process]",
)
@click.option("--local", is_flag=True, help="Serve this machine's user on loopback; prints the address to open.")
@click.option("--browser/--no-browser", "open_browser", default=False, help="With --local: open the address.")
@click.option("--address-file", type=_PATH, help="With --local: write the address there, in place of printing it.")
@_option(
    "--log-level",
    default="info",
    type=click.Choice(log_formatters.LEVELS),
    show_default=True,
    help="Minimum log level.",
)
@monitoring_options(_option, CONSOLE_PORT)
@log_format_options(_option)
def main(names: str, listen: str, local: bool, **options: Any) -> None:
    """Serve the web console of a Shoal cluster.

    \b
    Examples:
      shoal-console --names console.example.com
      shoal-console --listen 10.0.0.5:443 --tls-certificate cert.pem --tls-key key.pem
      shoal console                         # for the person at this machine
    """
    try:
        settings = ConsoleSettings(
            names=tuple(name.strip().lower() for name in names.split(",") if name.strip()),
            listen=listen or (LOCAL_ADDRESS if local else ConsoleSettings.listen),
            local=local,
            **options,
        )
        log_formatters.configure(settings.log_level, json=settings.logs_json)
        asyncio.run(_until_stopped(settings))
    except (ShoalError, BaseExceptionGroup) as error:
        known = _single_error(error)
        if known is None:
            raise
        click.echo(f"shoal-console: {log_formatters.without_secrets(str(known))}", err=True)
        sys.exit(FAILURE)


async def _until_stopped(settings: ConsoleSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    from console import app  # after the options are validated: it loads gRPC and aiohttp

    loop = asyncio.get_running_loop()
    running = loop.create_task(app.run(settings), name="console")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return


def _single_error(error: BaseException) -> ShoalError | None:
    """The ShoalError in a tree of exception groups, if it contains no other error."""
    if isinstance(error, BaseExceptionGroup):
        return _single_error(error.exceptions[0]) if len(error.exceptions) == 1 else None
    return error if isinstance(error, ShoalError) else None


if __name__ == "__main__":
    main()
