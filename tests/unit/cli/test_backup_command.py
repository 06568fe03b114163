"""`shoal cluster backup`: which command is meant, what is refused before a manager is asked, and what a file holds."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.commands.cluster_backup import backup, backup_document
from cli.commands.common.backup_options import schedule_request
from cli.main import shoal
from cli.render.progress_bar import WIDTH, bar
from shoal.api.v1.cluster_pb2 import BackupSchedule, BackupStatus, BackupTarget
from shoal.api.v1.control_pb2 import BackupScheduleView
from shoal.backups.backup_header import BackupHeader
from shoal.backups.backup_writer import BackupWriter
from shoal.backups.partial_file import written_whole
from shoal.errors import InvalidInput
from shoal.identity.keyring import key_id

KEY = bytes(range(32))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    header = BackupHeader("c1", "e1", 7, 1_700_000_000_000, "0.1.0", key_id(KEY), {"task": 1}, "ab" * 32)
    writer = BackupWriter(header, KEY)
    writer.add(b"/shoal/v1/tasks/t", b"x")
    path = tmp_path / "ls.backup"
    path.write_bytes(writer.begin() + writer.finish())
    return path


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(shoal, ["cluster", "backup", *words])
    error = "" if result.exception is None or isinstance(result.exception, SystemExit) else str(result.exception)
    return result.exit_code, result.output + error


def test_a_first_word_that_is_no_command_is_a_file() -> None:
    for words, command in ((["a.backup"], "create"), (["--every", "6h"], "create"), (["-"], "create"), (["ls"], "ls")):
        context = backup.make_context("backup", list(words))
        name, _, _ = backup.resolve_command(context, [*context._protected_args, *context.args])
        assert name == command
    assert "Without a command it is" in run("--help")[1]


def test_a_file_is_inspected_without_a_cluster(file: Path, tmp_path: Path) -> None:
    code, text = run("inspect", "--format", "json", str(file))
    assert code == 0
    (about,) = json.loads(text)
    assert (about["cluster"], about["records"], about["kinds"], about["checked"]) == ("c1", 1, {"task": 1}, "checksum")
    key = tmp_path / "cluster.key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    assert "checksum, contents" in run("inspect", "--cluster-key-file", str(key), str(file))[1]
    key.write_bytes(bytes(32))
    assert key_id(KEY) in run("inspect", "--cluster-key-file", str(key), str(file))[1]
    file.write_bytes(file.read_bytes()[:-1])
    code, text = run("inspect", str(file))
    assert code != 0 and "is not a valid backup: it is incomplete" in text
    assert "does not exist" in run("inspect", str(tmp_path / "none"))[1]


OPTIONS: dict[str, object] = dict.fromkeys(
    ("every", "keep", "to", "endpoint", "region", "ca", "access_key_id", "secret_key_file")
)


def test_a_schedule_is_read_from_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-from-env")
    (tmp_path / "secret").write_text("of-file\n")
    of_directory = schedule_request({**OPTIONS, "every": "6h", "to": "/b"})
    assert (of_directory.every_ms, of_directory.keep, of_directory.target.address) == (6 * 3_600_000, 28, "/b")
    assert not of_directory.secret_key and not of_directory.target.access_key_id
    of_bucket = schedule_request({**OPTIONS, "every": "1d", "keep": 3, "to": "s3://b/x"})
    assert (of_bucket.target.access_key_id, of_bucket.secret_key) == ("from-env", "secret-from-env")
    given = {"access_key_id": "id", "secret_key_file": str(tmp_path / "secret")}
    named = schedule_request({**OPTIONS, "every": "1d", "to": "s3://b/x", **given})
    assert (named.target.access_key_id, named.secret_key) == ("id", "of-file")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"every": "soon", "to": "/b"}, "--every"),
        ({"every": "6h"}, "--to"),
        ({"every": "6h", "to": "/b", "ca": Path("/none")}, "--ca"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        schedule_request({**OPTIONS, **options})
    assert named in str(caught.value)


def test_an_interrupt_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as out:
        out.write(b"half")
        raise KeyboardInterrupt
    assert [each.name for each in tmp_path.iterdir()] == ["a.backup"]
    assert path.read_bytes() == b"before"
    with written_whole(path) as out:
        out.write(b"after")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after", 0o600)


def test_a_document_has_the_schedule_without_its_secret() -> None:
    assert backup_document(BackupScheduleView()) == {"schedule": "none"}
    schedule = BackupSchedule(
        every_ms=60_000, keep=2, target=BackupTarget(address="/b", encrypted_secret_key=b"sealed")
    )
    status = BackupStatus(started_at_ms=5, succeeded_at_ms=0, failed_at_ms=7)
    document = backup_document(BackupScheduleView(schedule=schedule, status=status, problem="it failed"))
    assert (document["to"], document["running"], document["problem"]) == ("/b", True, "it failed")
    assert (document["last_success"], "sealed" in str(document)) == ("", False)


def test_a_bar_is_as_wide_whatever_is_done() -> None:
    assert [len(bar(done, 7)) for done in range(9)] == [WIDTH] * 9
    assert (bar(0, 0), bar(7, 7)) == ("=" * WIDTH, "=" * WIDTH)
    assert bar(0, 7).startswith(">")
