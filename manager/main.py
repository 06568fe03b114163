"""`shoal-manager`: the command line of the manager program."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from manager.membership.member_api import RemovedFromCluster
from manager.settings import Settings
from shoal.errors import InvalidInput, ShoalError
from shoal.monitoring.options import monitoring_options
from shoal.monitoring.settings import MANAGER_PORT
from shoal.telemetry import log_formatters

_log = logging.getLogger(__name__)

Command = Callable[..., None]
T = TypeVar("T")

FAILURE = 1
INVALID_SETTINGS = 2
REMOVED = 3

_DEFAULT = Settings()
_EXAMPLES = """\b
Examples:
  shoal-manager run
  shoal-manager run --advertise-address 10.0.0.1
  shoal-manager run --join 10.0.0.1:7442 --token SHOAL-1-...
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
    """Run and maintain a manager of a Shoal cluster. Runs the manager if no command is given."""
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command(epilog=_EXAMPLES)
@_path(
    "--state-directory",
    _DEFAULT.state_directory,
    "Directory for the identity, cluster key, admin credentials and etcd data.",
)
@option("--api-address", default=_DEFAULT.api_address, help="HOST:PORT to serve the API on (mutual TLS).")
@option("--join-address", default=_DEFAULT.join_address, help="HOST:PORT to accept joining hosts on.")
@option(
    "--peer-address", default=_DEFAULT.peer_address, help="HOST:PORT for the etcds of other managers, if there are any."
)
@option("--join", default="", help="HOST:PORT of a manager's join address, to become a manager of its cluster.")
@option("--token", default="", help="Join token for managers; use --token-file to keep it out of the process list.")
@_path("--token-file", None, "File that contains the join token.")
@option(
    "--advertise-address",
    default="",
    help="Host name or address at which others reach this manager.  [default: detected]",
)
@option(
    "--etcd-endpoint", multiple=True, help="HOST:PORT of a member of an external etcd cluster; repeat for more members."
)
@_path("--etcd-ca", None, "CA certificate of etcd (PEM).")
@_path("--etcd-cert", None, "Client certificate for etcd (PEM).")
@_path("--etcd-key", None, "Client key for etcd (PEM).")
@option(
    "--etcd-server-name",
    default="",
    help="Host name to verify in etcd's certificates.  [default: host of each endpoint]",
)
@_path(
    "--cluster-key-file",
    None,
    "File with the cluster key, the same on every manager.  [default: in the state directory]",
)
@option(
    "--heartbeat-seconds",
    type=float,
    default=_DEFAULT.heartbeat_seconds,
    help="Seconds between heartbeats; a node that misses three is down.",
)
@_path("--registries-file", _DEFAULT.registries_file, "Registry settings (TOML); may be missing.")
@monitoring_options(option, MANAGER_PORT)
@option("--log-level", type=click.Choice(log_formatters.LEVELS), default=_DEFAULT.log_level, help="Minimum log level.")
@option("--log-format", type=click.Choice(log_formatters.FORMATS), default=_DEFAULT.log_format, help="Log format.")
def run(etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Run the manager. With --join it becomes a manager of that cluster first, unless it is one already.

    Exits with 2 if a setting is invalid, with 3 if it was removed from the cluster, and with 1 on any other failure.
    """
    try:
        settings = Settings(etcd_endpoints=etcd_endpoint, etcd_certificate=etcd_cert, **values)
    except ShoalError as error:
        fail(str(error), INVALID_SETTINGS)
    log_formatters.configure(settings.log_level, json=settings.log_format == "json")
    try:
        asyncio.run(_until_stopped(settings))
    except Exception as error:
        shown = user_error(error)
        if shown is None:
            _log.exception("the manager failed")
            sys.exit(FAILURE)
        fail(str(shown), REMOVED if isinstance(shown, RemovedFromCluster) else FAILURE)


@main.command()
@_path("--state-directory", _DEFAULT.state_directory, "State directory of a manager on this host.")
@click.option("--hours", type=float, default=24.0, show_default=True, help="Hours until the token expires.")
@click.option(
    "--uses",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Number of hosts that can join with the token.",
)
def token(state_directory: Path, hours: float, uses: int) -> None:
    """Create a join token and print it. The manager must be running.

    List join tokens with `shoal cluster join-token ls`, and revoke one with `shoal cluster join-token rm`.
    """
    from manager.create_join_token import create_join_token  # not needed by `run`

    try:
        click.echo(create_join_token(state_directory, hours=hours, uses=uses))
    except ShoalError as error:
        fail(str(error), FAILURE)


@main.command("rotate-key")
@_path("--state-directory", _DEFAULT.state_directory, "State directory of a manager on this host.")
@_path("--cluster-key-file", None, "File with the cluster key.  [default: in the state directory]")
def rotate_key(state_directory: Path, cluster_key_file: Path | None) -> None:
    """Create a new cluster key. The leader re-encrypts the data in etcd once every manager has the key."""
    from shoal.identity import keyring

    path = Settings(state_directory=state_directory, cluster_key_file=cluster_key_file).key_file
    try:
        keyring.rotate(path)
    except ShoalError as error:
        fail(str(error), FAILURE)
    older = keyring.previous_path(path)
    click.echo(f"Created a new cluster key in {path}; the previous key is in {older}. Next:")
    click.echo("1. Copy both files to every other manager, and restart the managers one at a time.")
    click.echo('2. When the leader logs "all data is encrypted with the new cluster key", delete the previous key.')


def etcd_options(command: Command) -> Command:
    """The options that say where the records are, as for `run`."""
    for add in (
        _path(
            "--state-directory",
            _DEFAULT.state_directory,
            "State directory of a manager on this host that runs its own etcd.",
        ),
        option(
            "--etcd-endpoint",
            multiple=True,
            help="HOST:PORT of a member of an external etcd cluster; repeat for more members.",
        ),
        _path("--etcd-ca", None, "CA certificate of etcd (PEM)."),
        _path("--etcd-cert", None, "Client certificate for etcd (PEM)."),
        _path("--etcd-key", None, "Client key for etcd (PEM)."),
        option("--etcd-server-name", default="", help="Host name to verify in etcd's certificates."),
    ):
        command = add(command)
    return command


@main.command(epilog="\b\nExamples:\n  shoal-manager snapshot /backup/shoal.snapshot\n")
@etcd_options
@click.argument("file", type=click.Path(path_type=Path))
def snapshot(file: Path, etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Save all records of the cluster to FILE, as of one point in time. The manager must be running.

    The snapshot does not contain the cluster key (`cluster.key` in the state directory). Back up both.
    """
    from manager.snapshot_commands import save_snapshot  # not needed by `run`

    info = _or_fail(lambda: save_snapshot(_settings(etcd_endpoint, etcd_cert, values), file))
    click.echo(f"Saved {info.records} records of cluster {info.cluster} to {file}")


@main.command(epilog="\b\nExamples:\n  shoal-manager restore /backup/shoal.snapshot\n")
@etcd_options
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path, etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Restore the records in FILE to an empty etcd. Stop all managers first.

    Then copy the cluster key to the state directory and start the manager. Containers keep running; tasks that are
    newer than the snapshot are replaced, and nodes that joined after it must join again.
    """
    from manager.snapshot_commands import restore_snapshot  # not needed by `run`

    info = _or_fail(lambda: restore_snapshot(_settings(etcd_endpoint, etcd_cert, values), file))
    click.echo(f"Restored {info.records} records of cluster {info.cluster}; start the manager with its cluster key")


@main.command(epilog="\b\nExamples:\n  shoal-manager recover --force\n")
@_path("--state-directory", _DEFAULT.state_directory, "State directory of a manager on this host, which is stopped.")
@click.option("--force", is_flag=True, help="Confirm that the other managers are lost for good.")
def recover(state_directory: Path, *, force: bool) -> None:
    """Continue with this manager alone, after most managers were lost and will not return.

    Choose the manager that ran last. What only the lost ones had stored is lost. The others are no managers any more:
    join new ones. Containers keep running meanwhile.
    """
    from manager.recover import recover as recover_alone  # not needed by `run`

    if not force:
        fail(
            "this makes the manager on this host the only one, and discards what only the others have; if most "
            "managers are lost for good, confirm with --force. If they can be started, start them instead",
            INVALID_SETTINGS,
        )
    found = _or_fail(lambda: recover_alone(Settings(state_directory=state_directory)))
    click.echo(f"Manager {found.manager_id} is the only manager now. Next:")
    click.echo("1. Start it.")
    if found.removed:
        click.echo(f"2. Delete the state directories of {', '.join(found.removed)} before they are started again.")
    click.echo("3. Join other managers: `shoal cluster join-token --manager` displays the command.")


def _settings(etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, values: dict[str, Any]) -> Settings:
    return Settings(etcd_endpoints=etcd_endpoint, etcd_certificate=etcd_cert, **values)


def _or_fail(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:
        shown = user_error(error)
        if shown is None:
            raise
        fail(str(shown), INVALID_SETTINGS if isinstance(shown, InvalidInput) else FAILURE)


def fail(line: str, code: int) -> NoReturn:
    """End the program with one line on standard error."""
    click.echo(f"shoal-manager: {line}", err=True)
    sys.exit(code)


async def _until_stopped(settings: Settings) -> None:
    from manager import app  # after the settings were validated: it imports everything

    loop = asyncio.get_running_loop()
    running = loop.create_task(app.run(settings), name="manager")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        _log.info("stopped")


def user_error(error: BaseException) -> ShoalError | None:
    """The error to show to the user; None if any part of a group is not a `ShoalError`, which is a bug."""
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, ShoalError) else None
    parts = [user_error(each) for each in error.exceptions]
    return None if None in parts else parts[0]


if __name__ == "__main__":
    main()
