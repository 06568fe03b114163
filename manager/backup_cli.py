"""The commands `shoal-manager backup` and `shoal-manager restore`."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manager.program_options import (
    INVALID_SETTINGS,
    Command,
    cluster_key_option,
    etcd_options,
    etcd_settings,
    fail,
    or_fail,
)

if TYPE_CHECKING:
    from shoal.backups.backup_header import BackupHeader

ACCESS_KEY_ID, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


def restore_options(command: Command) -> Command:
    """Where a backup in a bucket is, and what is not asked."""
    for add in (
        click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation."),
        click.option(
            "--skip-manager-check", is_flag=True, help="Do not check whether managers of the cluster still respond."
        ),
        click.option(
            "--endpoint",
            default="",
            metavar="URL",
            help=f"URL of the S3 service (default Amazon's). Credentials: ${ACCESS_KEY_ID} and ${SECRET_KEY}.",
        ),
        click.option("--region", default="", help="Region of the bucket."),
        click.option("--ca", type=click.Path(path_type=Path), help="CA certificates of the S3 service (PEM)."),
    ):
        command = add(command)
    return command


@click.command(epilog="\b\nExamples:\n  shoal-manager backup /backup/shoal.backup\n")
@etcd_options
@cluster_key_option
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path, etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, **values: Any) -> None:
    """Back up all records of the cluster to FILE, as of one point in time. The etcd must be running.

    `shoal cluster backup` does the same from anywhere. The backup is encrypted with the cluster key (`cluster.key` in
    the state directory), and does not contain it: keep a copy of the key in another place than the backups.
    """
    from manager.backup_commands import save_backup  # not needed by `run`

    header = or_fail(lambda: save_backup(etcd_settings(etcd_endpoint, etcd_cert, values), file))
    click.echo(f"Backed up {header.records} records of cluster {header.cluster}, revision {header.revision}, to {file}")
    click.echo(f"It is encrypted with cluster key {header.key_id}: keep a copy of the key, apart from the backup")


@click.command(
    epilog="\b\nExamples:\n  shoal-manager restore /backup/shoal.backup\n"
    "  shoal-manager restore s3://backups/shoal/NAME.backup --endpoint https://s3.example.org\n"
)
@etcd_options
@cluster_key_option
@restore_options
@click.argument("file")
def restore(
    file: str,
    etcd_endpoint: tuple[str, ...],
    etcd_cert: Path | None,
    *,
    force: bool,
    skip_manager_check: bool,
    endpoint: str,
    region: str,
    ca: Path | None,
    **values: Any,
) -> None:
    """Restore the records in FILE, a path or s3://BUCKET/KEY, to an empty etcd. Stop all managers first.

    The whole backup is checked before anything is written. The cluster key must be in place. With a manager's own etcd
    the cluster then has this one manager; the others join anew. Containers keep running: tasks that are newer than the
    backup are replaced, newer containers outside services stay on their nodes (`shoal node orphans`), and nodes that
    joined later must join again.

    An external etcd may also be restored from a snapshot of its own; do so with `etcdutl snapshot restore
    --bump-revision 1000000000 --mark-compacted`, so that its revisions never go back.
    """
    from manager import backup_commands  # not needed by `run`

    source = backup_commands.BackupSource(
        file, endpoint, region, ca, os.environ.get(ACCESS_KEY_ID, ""), os.environ.get(SECRET_KEY, "")
    )
    settings = or_fail(lambda: etcd_settings(etcd_endpoint, etcd_cert, values))

    def restored() -> str:
        with backup_commands.checked_restore(settings, source) as found:
            header = found.checked.header
            _show_backup(header)
            if not skip_manager_check:
                found.check_stopped()
            if not force:
                _confirm()
            found.write()
            return f"Restored {header.records} records of cluster {header.cluster}. Next:"

    click.echo(or_fail(restored))
    click.echo("1. Start this manager.")
    if not settings.etcd_endpoints:
        click.echo("2. On the hosts of the other managers, move the state directories away, and join them again:")
        click.echo("   `shoal cluster join-token --manager` displays the command.")
    click.echo("Then see `shoal node ls` and `shoal node orphans`.")


def _show_backup(header: "BackupHeader") -> None:
    """What will be there afterwards, and from when."""
    from shoal.utc_text import utc_text

    age_minutes = max(0, time.time_ns() // 1_000_000 - header.created_at_ms) // 60_000
    hours, minutes = divmod(age_minutes, 60)
    shown = ("service", "container", "task", "node", "network", "volume", "secret", "config")
    counts = ", ".join(f"{header.counts[each]} {each}s" for each in shown if header.counts.get(each))
    click.echo(f"Backup of cluster {header.cluster}, made by release {header.release}")
    click.echo(
        f"  point in time  {utc_text(header.created_at_ms)} ({hours} h {minutes} min ago), revision {header.revision}"
    )
    click.echo(f"  records        {header.records} ({counts or 'no objects'})")
    click.echo("Everything that was changed later is lost.")


def _confirm() -> None:
    if not sys.stdin.isatty():
        fail("to restore without a prompt, confirm with --force", INVALID_SETTINGS)
    click.confirm("Restore it?", abort=True, err=True)
