"""The log of a manager's own etcd: bounded, while etcd writes to it."""

from pathlib import Path

from manager.etcd.server_log import ServerLog


def test_a_log_that_is_too_large_begins_anew_and_the_former_one_is_kept(tmp_path: Path) -> None:
    log = ServerLog(tmp_path, max_bytes=10)
    with log.opened() as written:
        written.write(b"0123456789")
        written.flush()
        log.bound()
        assert not (tmp_path / "log.previous").exists()
        written.write(b"more")
        written.flush()
        log.bound()
        written.write(b"after")
        written.flush()
    assert (tmp_path / "log.previous").read_bytes() == b"0123456789more"
    assert (tmp_path / "log").read_bytes() == b"after"
    assert log.has(b"after") and not log.has(b"more")


def test_each_run_has_a_log_of_its_own(tmp_path: Path) -> None:
    log = ServerLog(tmp_path)
    for text in (b"first", b"second"):
        with log.opened() as written:
            written.write(text)
    assert (tmp_path / "log.previous").read_bytes() == b"first"
    assert (tmp_path / "log").read_bytes() == b"second"
