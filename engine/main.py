"""`shoal-engine`: the command line of the engine."""

import asyncio
from pathlib import Path
from typing import Any

import click

from engine.settings import FORBIDDABLE, SOCKET, EngineSettings
from shoal.daemons.environment_options import environment_option
from shoal.daemons.fatal_errors import fatal_errors
from shoal.daemons.until_stopped import run_until_stopped
from shoal.monitoring.options import monitoring_options
from shoal.monitoring.settings import ENGINE_PORT
from shoal.telemetry import log_formatters
from shoal.telemetry.log_options import log_format_options, log_level_option

NO_SOCKET = "none"
EVERYWHERE = "[::]:2376"
"""Every address of this host, at the port that Docker has for TLS."""


_PATH = click.Path(path_type=Path)
_option = environment_option("engine")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="shoal", prog_name="shoal-engine")
@_option("--context", default="", metavar="NAME", help="Context of the cluster to serve.  [default: the current one]")
@_option("--socket", default=str(SOCKET), show_default=True, help="Unix socket to listen on; none for no socket.")
@_option("--socket-group", default="", metavar="GROUP", help="Group that may use the socket, besides its owner.")
@click.option(
    "--tcp",
    "--listen",
    "listen",
    default="",
    is_flag=False,
    flag_value=EVERYWHERE,
    envvar="SHOAL_ENGINE_LISTEN",
    show_envvar=True,
    metavar="[HOST:PORT]",
    help=f"Listen on TCP too, with mutual TLS; on {EVERYWHERE} where no address is given.",
)
@_option("--tls-names", default="", metavar="NAMES", help="More names of this engine, comma-separated: a balancer's.")
@_option(
    "--tls-certificate",
    default=None,
    type=_PATH,
    help="Server certificate (PEM).  [default: one of the cluster's authority, renewed by itself]",
)
@_option("--tls-key", default=None, type=_PATH, help="Private key of the server certificate (PEM).")
@_option("--tls-ca", default=None, type=_PATH, help="CA of clients' certificates (PEM).  [default: the cluster's]")
@_option(
    "--home-node",
    default="",
    metavar="NODE",
    help="Node whose files bind mounts without a node mean; none for none.  [default: the node on this host]",
)
@_option(
    "--forbid",
    default="",
    metavar="WORDS",
    help=f"Comma-separated features that only administrators may use: {', '.join(FORBIDDABLE)}.",
)
@_option("--registries-file", default=None, type=_PATH, help="Registry settings (TOML).  [default: the context's]")
@log_level_option(_option)
@monitoring_options(_option, ENGINE_PORT)
@log_format_options(_option)
def main(socket: str, forbid: str, tls_names: str, **options: Any) -> None:
    """Serve Docker's Engine API for a Shoal cluster.

    \b
    Examples:
      shoal-engine --socket /var/run/docker.sock --socket-group docker
      shoal-engine --tcp
      shoal-engine --tcp 10.0.0.5:2376 --tls-names docker.example.com
      DOCKER_HOST=unix:///run/shoal/engine.sock docker ps
    """
    with fatal_errors("shoal-engine"):
        settings = EngineSettings(
            socket=None if socket == NO_SOCKET else Path(socket),
            forbid=tuple(word for word in forbid.split(",") if word),
            tls_names=tuple(name.strip() for name in tls_names.split(",") if name.strip()),
            **options,
        )
        log_formatters.configure(settings.log_level, json=settings.logs_json)
        asyncio.run(_run(settings))


async def _run(settings: EngineSettings) -> None:
    from engine import app  # after the options are validated: it loads gRPC and aiohttp

    await run_until_stopped(app.run(settings), name="engine")


if __name__ == "__main__":
    main()
