"""ADD: archives, files of the web, git repositories; and COPY with its flags."""

import gzip
import hashlib
import http.server
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from shoal.errors import InvalidInput, NotFound
from tests.integration.build.build_rig import Rig, files_of, play, tar_of
from tests.ports import free_port


@contextmanager
def web(directory: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_archives_of_the_context_are_unpacked(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        inner = tar_of({"d/": "", "d/x": "in archive"})
        context = {"a.tar": inner, "b.tar.gz": gzip.compress(inner), "plain.gz": gzip.compress(b"no archive")}
        end = await rig.build(
            "FROM scratch\nADD a.tar /one\nADD --chown=3:4 b.tar.gz /two/\nADD plain.gz /\nCOPY a.tar /\n"
            "ADD --unpack=false a.tar /three.tar\n",
            context,
        )
        assert end.error is None, end.error
        files = files_of(await rig.pull(end.published))
        assert files["one/d/x"] == ("file 644 0:0", b"in archive") and files["two/d/x"] == (
            "file 644 3:4",
            b"in archive",
        )
        assert files["a.tar"][1] == files["three.tar"][1] == inner
        assert files["plain.gz"][1] == context["plain.gz"]

    play(tmp_path, scenario)


def test_files_of_the_web(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        directory = tmp_path / "web"
        directory.mkdir()
        (directory / "file.txt").write_text("from the web")
        digest = hashlib.sha256(b"from the web").hexdigest()
        with web(directory) as address:
            checked = f"ADD --chmod=755 --checksum=sha256:{digest} {address}/file.txt /y\n"
            text = f"FROM scratch\nADD {address}/file.txt /d/\n{checked}"
            end = await rig.build(text)
            assert end.error is None, end.error
            files = files_of(await rig.pull(end.published))
            assert files["d/file.txt"] == ("file 600 0:0", b"from the web")
            assert files["y"] == ("file 755 0:0", b"from the web")
            assert len((await rig.build(text)).cached) == 2
            (directory / "file.txt").write_text("changed")
            changed = await rig.build(text)
            assert isinstance(changed.error, InvalidInput) and "digest mismatch" in str(changed.error)
            gone = await rig.build(f"FROM scratch\nADD {address}/none /x\n")
            assert isinstance(gone.error, NotFound)

    play(tmp_path, scenario)


def _await_listener(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 10).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


@contextmanager
def git_daemon(directory: Path) -> Iterator[tuple[str, str]]:
    """The address of a repository with a directory `sub`, a tag `v1` and a link out of it; and its commit."""
    work = directory / "repo"
    work.mkdir(parents=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1"}
    for name in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{name}_NAME": "t", f"GIT_{name}_EMAIL": "t@example.com"}

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    (work / "sub").mkdir()
    (work / "sub/file").write_text("of git\n")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "etc").symlink_to("/etc")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("tag", "v1")
    commit = git("rev-parse", "HEAD").strip()
    port = free_port()
    command = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={directory}"]
    process = subprocess.Popen([*command, "--export-all"], env=environment, stderr=subprocess.DEVNULL)
    try:
        _await_listener(port)
        yield f"git://127.0.0.1:{port}/repo", commit
    finally:
        process.terminate()
        process.wait()


def test_git_repositories(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        with git_daemon(tmp_path / "git") as (address, commit):
            end = await rig.build(
                f"FROM scratch\nADD {address} /all\nADD --checksum={commit[:12]} {address}#v1:sub /part\n"
                f"ADD --keep-git-dir=true {address}#main /kept\n"
            )
            assert end.error is None, end.error
            files = files_of(await rig.pull(end.published))
            assert files["all/sub/file"][1] == b"of git\n" and files["all/run.sh"][0] == "file 755 0:0"
            assert files["part/file"][1] == b"of git\n" and "all/.git" not in files and "kept/.git/HEAD" in files
            assert files["all/etc"] == ("link 0:0", b"/etc")
            wrong = await rig.build(f"FROM scratch\nADD --checksum={'0' * 40} {address} /x\n")
            assert isinstance(wrong.error, InvalidInput) and "expected checksum" in str(wrong.error)
            outside = await rig.build(f"FROM scratch\nADD {address}#v1:etc /x\n")
            assert isinstance(outside.error, NotFound), outside.error
            missing = await rig.build(f"FROM scratch\nADD {address}#none /x\n")
            assert isinstance(missing.error, NotFound), missing.error

    play(tmp_path, scenario)


FLAGS = """\
FROM $BASE AS base
RUN mkdir -p /target/old && ln -s /target /link && echo old > /target/file
FROM base
COPY --link --chown=5:6 f /linked/f
COPY --parents a/b/c.txt a/./b/d.md /parents/
COPY --exclude=*.txt a /excluded/
COPY --chown=app:staff --chmod=u=rwX,go=rX a /owned/
COPY f /link/
COPY f /target/file
COPY <<EOF /inline.txt
here $HOME
EOF
WORKDIR /made/by/workdir
"""


def test_flags_and_places(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        context = {"f": "F", "a/": "", "a/top.txt": "T", "a/b/": "", "a/b/c.txt": "C", "a/b/d.md": "D"}
        end = await rig.build(FLAGS, context)
        assert end.error is None, (end.error, end.log)
        files = files_of(await rig.pull(end.published))
        assert files["linked/f"] == ("file 644 5:6", b"F")
        assert files["parents/a/b/c.txt"][1] == b"C" and files["parents/b/d.md"][1] == b"D"
        assert "excluded/b/c.txt" in files and "excluded/b/d.md" in files and "excluded/top.txt" not in files
        assert files["owned/b"][0] == "directory 755 1000:50" and files["owned/top.txt"] == ("file 644 1000:50", b"T")
        assert files["target/f"][1] == b"F" and files["target/file"][1] == b"F"
        assert files["inline.txt"] == ("file 644 0:0", b"here /root\n") or files["inline.txt"][1] == b"here \n"
        assert files["made/by/workdir"][0] == "directory 755 0:0"
        again = await rig.build(FLAGS.replace("FROM base\n", "FROM base\nENV X=1\n"), context)
        assert len(again.cached) == 9

    play(tmp_path, scenario)
