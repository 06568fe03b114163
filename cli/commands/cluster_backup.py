"""`shoal cluster backup …`."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cli.client import Client
from cli.commands.common.backup_options import schedule_options, schedule_request
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.commands.common.first_word_group import FirstWordGroup
from cli.render.documents import print_documents
from cli.render.progress_bar import ProgressBar
from cli.render.table import print_listing
from cli.render.task_rows import timestamp
from shoal.api.v1.cluster_pb2 import StoredBackup
from shoal.api.v1.control_pb2 import (
    BackupScheduleView,
    ExportBackupRequest,
    GetBackupScheduleRequest,
    GetClusterRequest,
    RemoveBackupScheduleRequest,
)
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.unit_formats import size

if TYPE_CHECKING:
    from shoal.backups.backup_header import BackupHeader

COLUMNS = ("name", "created", "size", "records", "manager", "cluster_key")
BACKUP_SECONDS = 3600.0
S3_SECONDS = 120.0
OFF = "off"


@click.group("backup", cls=FirstWordGroup, default="create", invoke_without_command=True)
@click.pass_context
def backup(context: click.Context) -> None:
    """Back up the cluster, now or on a schedule, and check backups.

    Without a command it is `create`: `shoal cluster backup FILE`. A backup contains all records of the cluster,
    encrypted with the cluster key, which it does not contain: keep a copy of `cluster.key` from a manager's state
    directory in another place. Data of volumes and images are not part of it. Restore with `shoal-manager restore`.
    """
    if context.invoked_subcommand is None:
        context.invoke(create)


@backup.command(
    "create",
    epilog=examples(
        "shoal cluster backup create /backup/shoal.backup",
        "shoal cluster backup - | ssh store 'cat > shoal.backup'",
        "shoal cluster backup --every 6h --keep 28 --to /backup/shoal",
        "shoal cluster backup --every 6h --keep 28 --to s3://backups/shoal --endpoint https://s3.example.org "
        "--access-key-id SHOAL --secret-key-file secret.txt",
        "shoal cluster backup --every off",
    ),
)
@click.argument("file", required=False, metavar="[FILE|-]")
@schedule_options
@click.option("-q", "--quiet", is_flag=True, help="Only display the name of the file.")
@pass_client
def create(client: Client, *, file: str | None = None, quiet: bool = False, **options: Any) -> None:
    """Back up the cluster to FILE, as of now; - is standard output.

    With --every, the leading manager makes backups on a schedule instead: to a directory of its host, or to a bucket of
    an S3 service. The first one is created at once. --every off ends the schedule, and keeps its backups.
    """
    if options.get("every") is not None:
        if file is not None:
            raise InvalidInput("--every: cannot be combined with a file; use --to")
        _set_schedule(client, options)
        return
    if given := [name for name, value in options.items() if value is not None]:
        raise InvalidInput(f"--{given[0].replace('_', '-')}: requires --every")
    if file == "-":
        if sys.stdout.isatty():
            raise InvalidInput("refusing to write a backup to a terminal; use a file or redirect the output")
        _export(client, sys.stdout.buffer, quiet=True)
        return
    path = Path(file) if file is not None else Path(_default_name(client))
    with _new_file(path) as out:
        header = _export(client, out, quiet=quiet)
    click.echo(path if quiet else f"Backed up {header.records} records, revision {header.revision}, to {path}")
    if not quiet:
        click.echo(
            f"The backup is encrypted with cluster key {header.key_id}, which it does not contain: keep a copy of "
            "cluster.key from a manager's state directory, apart from the backup"
        )


@backup.command(
    "inspect",
    epilog=examples(
        "shoal cluster backup inspect shoal.backup",
        "shoal cluster backup inspect --cluster-key-file cluster.key --format json shoal.backup",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--cluster-key-file",
    type=click.Path(path_type=Path),
    help="Cluster key, to decrypt and check the contents, too; without it only the checksum is.",
)
@format_option
def inspect(*, file: Path, cluster_key_file: Path | None, form: str) -> None:
    """Check a backup and display what it is of. No cluster is needed."""
    from shoal.backups.backup_reader import inspect_backup

    try:
        with file.open("rb") as stream:
            found = inspect_backup(stream)
            if cluster_key_file is not None:
                _decrypt(stream, cluster_key_file)
    except FileNotFoundError:
        raise NotFound(f"{file} does not exist") from None
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror}") from error
    except InvalidInput as error:
        raise InvalidInput(f"{file} is not a valid backup: {error}") from error
    header = found.header
    about = {
        "file": str(file),
        "format": header.format,
        "cluster": header.cluster,
        "epoch": header.epoch,
        "revision": header.revision,
        "created": timestamp(header.created_at_ms),
        "release": header.release,
        "cluster_key": header.key_id,
        "schedule": header.schedule,
        "records": header.records,
        "kinds": dict(header.counts),
        "bytes": found.size_bytes,
        "sha256": found.sha256,
        "checked": "checksum" if cluster_key_file is None else "checksum, contents",
    }
    print_documents([about], form=form)


@backup.command("ls", epilog=examples("shoal cluster backup ls", "shoal cluster backup ls --format json"))
@format_option
@pass_client
def list_backups(client: Client, *, form: str) -> None:
    """List the backups of the schedule, the newest first."""
    view = client.call(client.control.GetBackupSchedule, GetBackupScheduleRequest())
    print_listing([_row(each) for each in view.status.backups], COLUMNS, form=form)
    if view.problem:
        click.echo(f"WARNING: {view.problem}", err=True)


@backup.command("status", epilog=examples("shoal cluster backup status", "shoal cluster backup status --format json"))
@format_option
@pass_client
def status(client: Client, *, form: str) -> None:
    """Display the schedule, and how its last backups went."""
    view = client.call(client.control.GetBackupSchedule, GetBackupScheduleRequest())
    print_documents([backup_document(view)], form=form)


def backup_document(view: BackupScheduleView) -> dict[str, Any]:
    """The schedule and its status, for documents."""
    if not view.HasField("schedule"):
        return {"schedule": "none"}
    schedule, last = view.schedule, view.status
    return {
        "to": schedule.target.address,
        **{key: value for key, value in (("endpoint", schedule.target.endpoint),) if value},
        "every_seconds": schedule.every_ms // 1000,
        "keep": schedule.keep,
        "backups": len(last.backups),
        "last_success": timestamp(last.succeeded_at_ms) if last.succeeded_at_ms else "",
        "last_failure": timestamp(last.failed_at_ms) if last.failed_at_ms else "",
        "running": bool(last.started_at_ms and not last.ended_at_ms),
        "next": timestamp(view.next_at_ms),
        "manager": last.manager_id,
        "cluster_key": view.key_id,
        "problem": view.problem,
    }


def _row(each: StoredBackup) -> dict[str, object]:
    return {
        "name": each.name,
        "created": timestamp(each.created_at_ms),
        "size": size(each.bytes),
        "bytes": each.bytes,
        "records": each.records,
        "revision": each.revision,
        "manager": each.manager_id,
        "cluster_key": each.key_id,
    }


def _set_schedule(client: Client, options: dict[str, Any]) -> None:
    if options["every"] == OFF:
        client.call(client.control.RemoveBackupSchedule, RemoveBackupScheduleRequest())
        click.echo("backups are not scheduled any more; those that were made are kept")
        return
    view = client.call(client.control.SetBackupSchedule, schedule_request(options), seconds=S3_SECONDS)
    click.echo(f"scheduled backups to {view.schedule.target.address}; see `shoal cluster backup status`")
    click.echo(
        f"They are encrypted with cluster key {view.key_id}: keep a copy of cluster.key, apart from the backups",
        err=True,
    )


def _export(client: Client, out: BinaryIO, *, quiet: bool) -> "BackupHeader":
    """Write what the manager sends, and check that it is whole."""
    from shoal.backups.backup_reader import StreamedHeader

    header = StreamedHeader()
    with ProgressBar("Backing up", "records", quiet=quiet) as bar:
        for part in client.stream(client.control.ExportBackup, ExportBackupRequest(), seconds=BACKUP_SECONDS):
            header.feed(part.data)
            out.write(part.data)
            bar.update(part.records_done, part.records)
    out.flush()
    return header.finished()


@contextmanager
def _new_file(path: Path) -> Generator[BinaryIO]:
    from shoal.backups.partial_file import written_whole

    try:
        with written_whole(path) as out:
            yield out
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error


def _default_name(client: Client) -> str:
    cluster = client.call(client.control.GetCluster, GetClusterRequest()).id
    return f"shoal-{cluster}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup"


def _decrypt(stream: BinaryIO, key_file: Path) -> None:
    from shoal.backups.backup_header import BackupHeader
    from shoal.backups.backup_reader import read_backup
    from shoal.identity.keyring import load_keyring

    keyring = load_keyring(key_file)

    def key(header: BackupHeader) -> bytes:
        found = keyring.key_named(header.key_id)
        if found is None:
            raise InvalidInput(f"it is encrypted with cluster key {header.key_id}, and {key_file} is {keyring.key_id}")
        return found

    stream.seek(0)
    for _ in read_backup(stream, key):
        pass
