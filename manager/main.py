"""`shoal-manager`: the command line of the manager program."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import click

from manager.backup_cli import backup, restore
from manager.membership.member_api import RemovedFromCluster
from manager.program_options import (
    DEFAULT,
    FAILURE,
    INVALID_SETTINGS,
    REMOVED,
    WRONG_RELEASE,
    fail,
    option,
    or_fail,
    path_option,
    user_error,
)
from manager.settings import Settings
from shoal.daemons.until_stopped import run_until_stopped
from shoal.errors import ShoalError
from shoal.monitoring.options import monitoring_options
from shoal.monitoring.settings import MANAGER_PORT
from shoal.state_format import WrongRelease
from shoal.telemetry import log_formatters

_log = logging.getLogger(__name__)

_EXAMPLES = """\b
Examples:
  shoal-manager run
  shoal-manager run --advertise-address 10.0.0.1
  shoal-manager run --join 10.0.0.1:7442 --token SHOAL-1-...
  shoal-manager run --etcd-endpoint 10.0.0.5:2379 --etcd-ca ca.pem --etcd-cert me.pem --etcd-key me.key
  shoal-manager token --uses 1 --hours 1
  shoal-manager backup /backup/shoal.backup
"""


@click.group(invoke_without_command=True, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Run and maintain a manager of a Shoal cluster. Runs the manager if no command is given."""
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command(epilog=_EXAMPLES)
@path_option(
    "--state-directory",
    DEFAULT.state_directory,
    "Directory for the identity, cluster key, admin credentials and etcd data.",
)
@option("--api-address", default=DEFAULT.api_address, help="HOST:PORT to serve the API on (mutual TLS).")
@option("--join-address", default=DEFAULT.join_address, help="HOST:PORT to accept joining hosts on.")
@option(
    "--peer-address", default=DEFAULT.peer_address, help="HOST:PORT for the etcds of other managers, if there are any."
)
@option("--join", default="", help="HOST:PORT of a manager's join address, to become a manager of its cluster.")
@option("--token", default="", help="Join token for managers; use --token-file to keep it out of the process list.")
@path_option("--token-file", None, "File that contains the join token.")
@option(
    "--advertise-address",
    default="",
    help="Host name or address at which others reach this manager.  [default: detected]",
)
@option(
    "--etcd-endpoint", multiple=True, help="HOST:PORT of a member of an external etcd cluster; repeat for more members."
)
@path_option("--etcd-ca", None, "CA certificate of etcd (PEM).")
@path_option("--etcd-cert", None, "Client certificate for etcd (PEM).")
@path_option("--etcd-key", None, "Client key for etcd (PEM).")
@option(
    "--etcd-server-name",
    default="",
    help="Host name to verify in etcd's certificates.  [default: host of each endpoint]",
)
@path_option(
    "--cluster-key-file",
    None,
    "File with the cluster key, the same on every manager.  [default: in the state directory]",
)
@option(
    "--heartbeat-seconds",
    type=float,
    default=DEFAULT.heartbeat_seconds,
    help="Seconds between heartbeats; a node that misses three is down.",
)
@option(
    "--restart-grace-seconds",
    type=float,
    default=DEFAULT.restart_grace_seconds,
    help="Seconds for which a node keeps its tasks while its agent restarts (SIGTERM); 0 to treat it as lost.",
)
@path_option("--registries-file", DEFAULT.registries_file, "Registry settings (TOML); may be missing.")
@monitoring_options(option, MANAGER_PORT)
@option("--log-level", type=click.Choice(log_formatters.LEVELS), default=DEFAULT.log_level, help="Minimum log level.")
@option("--log-format", type=click.Choice(log_formatters.FORMATS), default=DEFAULT.log_format, help="Log format.")
def run(etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Run the manager. With --join it becomes a manager of that cluster first, unless it is one already.

    Exits with 2 if a setting is invalid, with 3 if it was removed from the cluster, with 4 if this release, or that of
    etcd, cannot use the state that it finds, and with 1 on any other failure.
    """
    try:
        settings = Settings(etcd_endpoints=etcd_endpoint, etcd_certificate=etcd_cert, **values)
    except ShoalError as error:
        fail(str(error), INVALID_SETTINGS)
    log_formatters.configure(settings.log_level, json=settings.log_format == "json")
    try:
        asyncio.run(_run(settings))
    except Exception as error:
        shown = user_error(error)
        if shown is None:
            _log.exception("the manager failed")
            sys.exit(FAILURE)
        fail(str(shown), exit_code(shown))


@main.command()
@path_option("--state-directory", DEFAULT.state_directory, "State directory of a manager on this host.")
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
@path_option("--state-directory", DEFAULT.state_directory, "State directory of a manager on this host.")
@path_option("--cluster-key-file", None, "File with the cluster key.  [default: in the state directory]")
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


@main.command(epilog="\b\nExamples:\n  shoal-manager recover --force\n")
@path_option(
    "--state-directory", DEFAULT.state_directory, "State directory of a manager on this host, which is stopped."
)
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
    found = or_fail(lambda: recover_alone(Settings(state_directory=state_directory)))
    click.echo(f"Manager {found.manager_id} is the only manager now. Next:")
    click.echo("1. Start it.")
    if found.removed:
        click.echo(f"2. Delete the state directories of {', '.join(found.removed)} before they are started again.")
    click.echo("3. Join other managers: `shoal cluster join-token --manager` displays the command.")


def exit_code(error: ShoalError) -> int:
    """Of `run`, when it fails. systemd does not restart it after REMOVED and WRONG_RELEASE: an operator decides."""
    if isinstance(error, RemovedFromCluster):
        return REMOVED
    return WRONG_RELEASE if isinstance(error, WrongRelease) else FAILURE


async def _run(settings: Settings) -> None:
    from manager import app  # after the settings were validated: it imports everything

    if await run_until_stopped(app.run(settings), name="manager"):
        _log.info("stopped")


main.add_command(backup)
main.add_command(restore)

if __name__ == "__main__":
    main()
