"""Releases of etcd: which flags one has, and which data it may be started with. Pure.

By etcd's documentation of upgrades: one minor release at a time, one member after the other. The cluster works as its
oldest member until all are upgraded, and only until then can a member go back.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from shoal.state_format import WrongRelease

_RENAMED_IN = (3, 6)
_RENAMED = ("watch-progress-notify-interval", "peer-skip-client-san-verification")
"""Flags that begin with `--experimental-` before 3.6. It still knows them so, 3.7 does not."""


class EtcdRelease(NamedTuple):
    """A release, "3.5.16"; releases compare by age."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @property
    def line(self) -> tuple[int, int]:
        """What upgrades count: (3, 5)."""
        return self.major, self.minor


FOR_SEVERAL_MEMBERS = EtcdRelease(3, 5, 26)
"""The first in which members that were removed do not return (etcd 13196, 20967), and from which etcd documents the
upgrade to 3.6."""


@dataclass(frozen=True)
class DataRelease:
    """Of data that etcd has written.

    Attributes:
        member: the release that ran last with them.
        cluster: the release that the cluster worked as then, that of its oldest member; its patch is 0.
    """

    member: EtcdRelease
    cluster: EtcdRelease


def parse_release(text: str) -> EtcdRelease:
    """Of "3.5.16", or "3.6.0-rc.1". Raises ValueError: it is none."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        raise ValueError(f"{text!r} is not a release of etcd")
    return EtcdRelease(*map(int, found.groups()))


def flag(name: str, release: EtcdRelease) -> str:
    """The name of a flag in a release, with its dashes.

    Args:
        name: as the newest release has it, without dashes.
    """
    experimental = name in _RENAMED and release.line < _RENAMED_IN
    return f"--experimental-{name}" if experimental else f"--{name}"


def check_data(program: EtcdRelease, data: DataRelease, directory: str) -> None:
    """Refuse to start a release with data that it cannot use, before it touches them.

    Args:
        program: to be started.
        directory: where the data are, for the user.
    Raises:
        WrongRelease: it is older than the cluster, or skips a minor release.
    """
    data_text = f"The data in {directory} were last used by etcd {data.member}. Nothing was changed. Install etcd"
    major, minor = data.cluster.line
    if program.line < data.cluster.line:
        raise WrongRelease(
            f"etcd {program} is older than the cluster, whose etcd works as {major}.{minor} since all of its members "
            f"were upgraded. {data_text} {max(data.member, data.cluster)} or a later {major}.{minor} on this host; to "
            "go back to an older etcd, restore a backup to a new state directory"
        )
    if program.line > (major, minor + 1):
        raise WrongRelease(
            f"etcd {program} cannot use data of a cluster whose etcd works as {major}.{minor}: upgrade etcd one minor "
            f"release at a time, on all managers. {data_text} {major}.{minor + 1} first"
        )


def production_warning(release: EtcdRelease, *, several: bool) -> str:
    """What speaks against a release in production; empty: nothing.

    Args:
        several: it is one of several members.
    """
    if several and release < FOR_SEVERAL_MEMBERS:
        return (
            f"etcd {release} should not run with several managers in production; use {FOR_SEVERAL_MEMBERS} or later "
            "(fixed since: removed members return after an upgrade to 3.6, leases revoked by a former leader)"
        )
    if release.line < (3, 5):
        return (
            f"etcd {release} is outdated; use a current 3.5 or 3.6 in production (fixed since: watch events lost after "
            "compaction, leases revoked by a former leader, access rules bypassed by nested transactions)"
        )
    return ""
