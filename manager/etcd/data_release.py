"""The release of the data in a manager's own etcd: a file beside them, which is read before the next start."""

import asyncio
import json
import logging
import subprocess
from pathlib import Path

from manager.etcd.releases import DataRelease, EtcdRelease, parse_release, production_warning
from shoal.errors import Unavailable
from shoal.identity.private_files import write_atomically
from shoal.json_file import load_json

FILE = "release.json"
CHECK_SECONDS = 5.0
"""etcd decides every 4 s whether all members are upgraded."""
_ANSWER_SECONDS = 30.0

_log = logging.getLogger(__name__)


async def program_release(program: str) -> EtcdRelease:
    """Which release a program is, by its `--version`.

    Raises:
        Unavailable: it cannot be started, or its answer is none of etcd's.
    """
    try:
        done = await asyncio.to_thread(
            subprocess.run, [program, "--version"], capture_output=True, timeout=_ANSWER_SECONDS, env={}
        )
        return parse_release(done.stdout.decode(errors="replace").partition("etcd Version: ")[2])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Unavailable(f"cannot find out the version of {program}: {error}") from error


def warn_if_old(version: str, *, several: bool = False) -> None:
    """Log what speaks against this etcd in production, such as that it is before 3.5.

    Args:
        several: it is one of several members that managers run.
    """
    if warning := production_warning(parse_release(version), several=several):
        _log.warning("%s", warning)


def load_data_release(directory: Path) -> DataRelease | None:
    """Of the data in etcd's directory; None: nobody has written it down.

    Raises:
        InvalidInput: the file is damaged. Unavailable: it cannot be read.
    """
    return load_json(
        directory / FILE,
        lambda fields: DataRelease(parse_release(fields["member"]), parse_release(fields["cluster"])),
        "delete it if etcd was not downgraded",
    )


def forget_data_release(directory: Path) -> None:
    """There are no data any more."""
    (directory / FILE).unlink(missing_ok=True)


async def record_data_release(directory: Path, socket: Path) -> None:
    """Keep the file as the running etcd says, until cancelled.

    Args:
        socket: of etcd's clients.
    """
    known: DataRelease | None = None
    while True:
        found = await _running_release(socket)
        if found is not None and found != known:
            try:
                _save(directory, found)
                known = found
            except OSError as error:
                _log.error("cannot write %s: %s", directory / FILE, error.strerror)
        await asyncio.sleep(CHECK_SECONDS)


async def _running_release(socket: Path) -> DataRelease | None:
    """Of the etcd at this socket; None: it does not respond, or the cluster has not decided."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            fields = json.loads(await _read_version(socket))
        return DataRelease(parse_release(fields["etcdserver"]), parse_release(fields["etcdcluster"]))
    except (OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
        _log.debug("cannot read the release of etcd: %s", error)
        return None


async def _read_version(socket: Path) -> bytes:
    """The body of `/version`, which etcd serves beside its gRPC: HTTP 1.0 ends it with the connection."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(b"GET /version HTTP/1.0\r\nHost: etcd\r\n\r\n")
        return (await reader.read()).partition(b"\r\n\r\n")[2]
    finally:
        writer.close()


def _save(directory: Path, release: DataRelease) -> None:
    fields = {"member": str(release.member), "cluster": str(release.cluster)}
    write_atomically(directory / FILE, json.dumps(fields).encode())
