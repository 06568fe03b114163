"""`shoal-console`: the command line of the console."""

import asyncio
from pathlib import Path
from typing import Any

import click

from console.settings import LOCAL_ADDRESS, ConsoleSettings
from shoal.daemons.environment_options import environment_option
from shoal.daemons.fatal_errors import fatal_errors
from shoal.daemons.until_stopped import run_until_stopped
from shoal.monitoring.options import monitoring_options
from shoal.monitoring.settings import CONSOLE_PORT
from shoal.telemetry import log_formatters
from shoal.telemetry.log_options import log_format_options, log_level_option

_PATH = click.Path(path_type=Path)
_option = environment_option("console")


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
@log_level_option(_option)
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
    with fatal_errors("shoal-console"):
        settings = ConsoleSettings(
            names=tuple(name.strip().lower() for name in names.split(",") if name.strip()),
            listen=listen or (LOCAL_ADDRESS if local else ConsoleSettings.listen),
            local=local,
            **options,
        )
        log_formatters.configure(settings.log_level, json=settings.logs_json)
        asyncio.run(_run(settings))


async def _run(settings: ConsoleSettings) -> None:
    from console import app  # after the options are validated: it loads gRPC and aiohttp

    await run_until_stopped(app.run(settings), name="console")


if __name__ == "__main__":
    main()
