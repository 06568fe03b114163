"""`shoal-manager`: the command line of the manager program."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from manager.settings import LOG_FORMATS, Settings
from shoal.errors import InvalidInput, ShoalError
from shoal.telemetry import logs

_log = logging.getLogger(__name__)

Command = Callable[..., None]
T = TypeVar("T")

FAILURE = 1
BAD_SETTINGS = 2

_DEFAULT = Settings()
_EXAMPLES = """\b
Examples:
  shoal-manager run
  shoal-manager run --advertise-address 10.0.0.1
  shoal-manager run --etcd-endpoint 10.0.0.5:2379 --etcd-ca ca.pem --etcd-cert me.pem --etcd-key me.key
  shoal-manager token --uses 1 --hours 1
  shoal-manager snapshot /backup/shoal.snapshot
"""


def option(name: str, **more: Any) -> Callable[[Command], Command]:
    """An option that may also be set by SHOAL_MANAGER_<NAME> in the environment."""
    variable = "SHOAL_MANAGER_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=variable, show_envvar=True, show_default=True, **more)


def _path(name: str, default: Path | None, text: str) -> Callable[[Command], Command]:
    return option(name, type=click.Path(path_type=Path), default=default, help=text)


@click.group(invoke_without_command=True, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """The manager of a Shoal cluster: API, planner, agents' sessions, certificate authority. Without a command: run."""
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command(epilog=_EXAMPLES)
@_path("--state-directory", _DEFAULT.state_directory, "Identity, cluster key, admin's files, etcd's data.")
@option("--api-address", default=_DEFAULT.api_address, help="HOST:PORT for users and agents, mutual TLS.")
@option("--join-address", default=_DEFAULT.join_address, help="HOST:PORT where nodes join.")
@option("--advertise-address", default="", help="Host by which others reach this manager.  [default: found out]")
@option("--etcd-endpoint", multiple=True, help="HOST:PORT of an etcd cluster of your own; may be repeated.")
@_path("--etcd-ca", None, "PEM file of the authority that signed etcd's certificate.")
@_path("--etcd-cert", None, "PEM file of our certificate for etcd.")
@_path("--etcd-key", None, "PEM file of its key.")
@option("--etcd-server-name", default="", help="What its certificates are for.  [default: each endpoint's own host]")
@_path("--cluster-key-file", None, "Opens the authority's key; the same on every manager.  [default: in the state]")
@option("--heartbeat-seconds", type=float, default=_DEFAULT.heartbeat_seconds, help="Three missed: a node is DOWN.")
@_path("--registries-file", _DEFAULT.registries_file, "Settings of registries; need not exist.")
@option("--log-level", type=click.Choice(logs.LEVELS), default=_DEFAULT.log_level)
@option("--log-format", type=click.Choice(LOG_FORMATS), default=_DEFAULT.log_format)
def run(etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Run the manager until SIGTERM or SIGINT. Exit code 2: the settings are wrong; 1: it failed."""
    try:
        settings = Settings(etcd_endpoints=etcd_endpoint, etcd_certificate=etcd_cert, **values)
    except ShoalError as error:
        fail(str(error), BAD_SETTINGS)
    logs.configure(settings.log_level, json=settings.log_format == "json")
    try:
        asyncio.run(_until_stopped(settings))
    except Exception as error:
        told = told_to_user(error)
        if told is None:
            _log.exception("the manager failed")
            sys.exit(FAILURE)
        fail(str(told), FAILURE)


@main.command()
@_path("--state-directory", _DEFAULT.state_directory, "Of a manager on this machine.")
@click.option("--hours", type=float, default=24.0, show_default=True, help="For how long it is good.")
@click.option("--uses", type=click.IntRange(min=1), default=100, show_default=True, help="For how many hosts.")
def token(state_directory: Path, hours: float, uses: int) -> None:
    """Make a token that hosts join with, and print it. The manager must run.

    `shoal cluster join-token ls` lists the tokens of the cluster, and `rm` ends one.
    """
    from manager.join_token import new_token  # not needed, and not paid for, by `run`

    try:
        click.echo(new_token(state_directory, hours=hours, uses=uses))
    except ShoalError as error:
        fail(str(error), FAILURE)


@main.command("rotate-key")
@_path("--state-directory", _DEFAULT.state_directory, "Of a manager on this machine.")
@_path("--cluster-key-file", None, "The cluster key.  [default: in the state]")
def rotate_key(state_directory: Path, cluster_key_file: Path | None) -> None:
    """Make another cluster key; everything sealed in etcd is sealed with it once all managers have it."""
    from shoal.identity import keyring

    path = Settings(state_directory=state_directory, cluster_key_file=cluster_key_file).key_file
    try:
        keyring.rotate(path)
    except ShoalError as error:
        fail(str(error), FAILURE)
    older = keyring.older_path(path)
    click.echo(f"{path} is a new cluster key; the one before is {older}. Next:")
    click.echo(
        "1. copy both files to every other manager of the cluster, and restart the managers one after the other;"
    )
    click.echo('2. when the leader has logged "everything is sealed with the new cluster key", delete the older file.')


def etcd_options(command: Command) -> Command:
    """Where the records are, as for `run`."""
    for add in (
        _path("--state-directory", _DEFAULT.state_directory, "Of a manager on this machine, for its own etcd."),
        option("--etcd-endpoint", multiple=True, help="HOST:PORT of an etcd cluster of your own; may be repeated."),
        _path("--etcd-ca", None, "PEM file of the authority that signed etcd's certificate."),
        _path("--etcd-cert", None, "PEM file of our certificate for etcd."),
        _path("--etcd-key", None, "PEM file of its key."),
        option("--etcd-server-name", default="", help="What its certificates are for."),
    ):
        command = add(command)
    return command


@main.command(epilog="\b\nExamples:\n  shoal-manager snapshot /backup/shoal.snapshot\n")
@etcd_options
@click.argument("file", type=click.Path(path_type=Path))
def snapshot(file: Path, etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Write all records of the cluster to FILE, as they are at one moment. The manager must run, and goes on.

    What it cannot do without is not in it: the cluster key, `cluster.key` in the state directory. Keep both.
    """
    from manager.snapshots import take  # not needed, and not paid for, by `run`

    about = _done(lambda: take(_settings(etcd_endpoint, etcd_cert, values), file))
    click.echo(f"{file}: {about.records} records of cluster {about.cluster}")


@main.command(epilog="\b\nExamples:\n  shoal-manager restore /backup/shoal.snapshot\n")
@etcd_options
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path, etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Bring the records in FILE into an etcd that has none. No manager may run on it.

    Then put the cluster key into the state directory and start the manager. Containers run on meanwhile; tasks that are
    newer than the snapshot are replaced, and nodes that joined after it have to join anew.
    """
    from manager.snapshots import bring_back  # not needed, and not paid for, by `run`

    about = _done(lambda: bring_back(_settings(etcd_endpoint, etcd_cert, values), file))
    click.echo(f"{about.records} records of cluster {about.cluster} are back; start the manager with its cluster key")


def _settings(etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, values: dict[str, Any]) -> Settings:
    return Settings(etcd_endpoints=etcd_endpoint, etcd_certificate=etcd_cert, **values)


def _done(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:
        told = told_to_user(error)
        if told is None:
            raise
        fail(str(told), BAD_SETTINGS if isinstance(told, InvalidInput) else FAILURE)


def fail(line: str, code: int) -> NoReturn:
    """End the program with one line on standard error."""
    click.echo(f"shoal-manager: {line}", err=True)
    sys.exit(code)


async def _until_stopped(settings: Settings) -> None:
    from manager import app  # after the settings are known to be right: it imports everything

    loop = asyncio.get_running_loop()
    running = loop.create_task(app.run(settings), name="manager")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        _log.info("stopped")


def told_to_user(error: BaseException) -> ShoalError | None:
    """The error that one line can tell; None when any part of a group is not one of ours, and so a fault of ours."""
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, ShoalError) else None
    parts = [told_to_user(each) for each in error.exceptions]
    return None if None in parts else parts[0]


if __name__ == "__main__":
    main()
