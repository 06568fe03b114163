"""The format of the cluster's state: which one it may have, and which one this release refuses."""

from collections.abc import Mapping
from pathlib import Path

from manager.store.tables import View
from shoal.api.v1.cluster_pb2 import RegisteredManager
from shoal.state_format import WrittenFormat, check_readable, load_format

STATE_FORMAT = 1
"""Of this release: the highest that it reads and writes. The README says when to raise it."""
_REMEDY = "or restore a backup that was made with this release or an older one"


def next_format(current: int, registered: Mapping[str, RegisteredManager]) -> int:
    """The number of the cluster's format: the highest that every manager reads, also those that are down.

    Args:
        current: the cluster's now. It never falls.
    """
    return max(current, min((each.state_format for each in registered.values()), default=0))


def written_format(tables: View) -> WrittenFormat:
    """The cluster's format as recorded."""
    found = tables.state_format
    return WrittenFormat() if found is None else WrittenFormat(found.number, found.release)


def check_records(tables: View) -> None:
    """Raises WrongRelease: the records in etcd are of a newer release."""
    check_readable(written_format(tables), STATE_FORMAT, "the cluster's state in etcd", _REMEDY)


def check_state_directory(directory: Path) -> None:
    """Before anything in it is used, its etcd's data included.

    Raises:
        WrongRelease: it is of a newer release. InvalidInput, Unavailable: its format cannot be read.
    """
    check_readable(load_format(directory), STATE_FORMAT, str(directory), _REMEDY)
