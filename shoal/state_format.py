"""The format of what a program keeps on disk or in etcd, numbered, so that an older release refuses a newer one's.

A release raises the number only when the release before could not work with what it writes. Fields and records that
an older release may ignore need no new number.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from shoal.errors import Refused, Unavailable
from shoal.identity.private_files import write_atomically
from shoal.json_file import load_json

FILE = "format.json"
"""In a state directory."""


class WrongRelease(Refused):
    """The release of this program, or of one that it runs, does not fit the state that it finds.

    Starting again is of no use until an operator installs another one.
    """


@dataclass(frozen=True)
class WrittenFormat:
    """What a state is in.

    Attributes:
        number: of the format; 0: a release before formats were numbered.
        release: that wrote it first, "0.2.0"; empty with 0.
    """

    number: int = 0
    release: str = ""


def this_release() -> str:
    """The release of this program, "0.2.0"."""
    return version("shoal")


def check_readable(found: WrittenFormat, supported: int, what: str, remedy: str) -> None:
    """Refuse a state that this release does not read.

    Args:
        supported: the highest number that this release reads.
        what: has that format, for the user: "/var/lib/shoal/agent".
        remedy: what else can be done than to install that release, beginning with "or".
    Raises:
        WrongRelease: it is of a newer format.
    """
    if found.number > supported:
        raise WrongRelease(
            f"{what} was written by Shoal {found.release} (state format {found.number}), and this is Shoal "
            f"{this_release()}, which reads state formats up to {supported}. Nothing was changed. Install Shoal "
            f"{found.release} or later on this host, {remedy}"
        )


def load_format(directory: Path) -> WrittenFormat:
    """The format of a state directory, which need not exist.

    Raises:
        InvalidInput: the file is damaged. Unavailable: it cannot be read.
    """
    found = load_json(
        directory / FILE,
        lambda fields: WrittenFormat(int(fields["format"]), str(fields["release"])),
        "delete it if no newer release ran on this host",
    )
    return found or WrittenFormat()


def save_format(directory: Path, written: WrittenFormat) -> None:
    """Write a state directory's format, unless its file has it already. Raises Unavailable: it cannot be written."""
    if load_format(directory) == written:
        return
    try:
        write_atomically(directory / FILE, json.dumps({"format": written.number, "release": written.release}).encode())
    except OSError as error:
        raise Unavailable(f"cannot write {directory / FILE}: {error.strerror}") from error
