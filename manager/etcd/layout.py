"""How this manager's etcd is started: alone on Unix sockets, or as one of several members that speak TLS.

The layout is a file beside the data, so that etcd starts the same way after a reboot, without asking anybody.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from manager.etcd.releases import EtcdRelease, flag
from shoal.errors import Unavailable
from shoal.identity.identity import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from shoal.identity.private_files import write_atomically
from shoal.identity.roles import ETCD_SERVER_NAME
from shoal.json_file import load_json

# etcd 3.4 accepts a Unix socket only as "unix://HOST:PORT" and creates a file of that name in its working directory.
CLIENT_SOCKET = "client:0"
PEER_SOCKET = "peer:0"
PEER_DIRECTORY = "peer"
"""Below etcd's directory: the certificate with which it speaks to other members. etcd reads it at each handshake."""
_FILE = "layout.json"
_ALONE = (
    "--name=default",
    f"--listen-peer-urls=unix://{PEER_SOCKET}",
    f"--initial-advertise-peer-urls=unix://{PEER_SOCKET}",
    f"--initial-cluster=default=unix://{PEER_SOCKET}",
    # There are no peers to wait for: with the defaults of 100 and 1000 ms a restart takes up to 1.8 s, with these 0.3
    # s.
    "--heartbeat-interval=40",
    "--election-timeout=200",
)
_AMONG_OTHERS = (
    # A member that returns after a partition must not depose the leader.
    "--pre-vote",
    # Equal on all members.
    "--heartbeat-interval=100",
    "--election-timeout=1000",
    "--peer-client-cert-auth",
    # This and the flag of `_ANY_ADDRESS` go together, always. Without that one, a peer whose source address is not in
    # its certificate (another interface, NAT) is rejected; with it alone, every certificate of the cluster's authority,
    # an agent's too, would be a peer.
    f"--peer-cert-allowed-hostname={ETCD_SERVER_NAME}",
)
_ANY_ADDRESS = "peer-skip-client-san-verification"


@dataclass(frozen=True)
class EtcdLayout:
    """One of several members.

    Attributes:
        name: the manager's id.
        peer_address: host:port where the other members reach it.
        listen_address: host:port where it listens, an IP address.
        initial_cluster: "name=url" of every member, its own included, of a member that is to copy their data; without
            meaning once it has data.
    """

    name: str
    peer_address: str
    listen_address: str
    initial_cluster: tuple[str, ...] = ()

    def flags(self, directory: Path, release: EtcdRelease) -> tuple[str, ...]:
        """etcd's flags for it.

        Args:
            directory: of etcd, absolute.
            release: of etcd.
        """
        peer = directory / PEER_DIRECTORY
        url = f"https://{self.peer_address}"
        members = self.initial_cluster or (f"{self.name}={url}",)
        return (
            f"--name={self.name}",
            f"--listen-peer-urls=https://{self.listen_address}",
            f"--initial-advertise-peer-urls={url}",
            f"--initial-cluster={','.join(members)}",
            "--initial-cluster-state=existing",
            f"--peer-trusted-ca-file={peer / CA_FILE}",
            f"--peer-cert-file={peer / CERTIFICATE_FILE}",
            f"--peer-key-file={peer / KEY_FILE}",
            *_AMONG_OTHERS,
            flag(_ANY_ADDRESS, release),
        )


def layout_flags(layout: EtcdLayout | None, directory: Path, release: EtcdRelease) -> Sequence[str]:
    """The flags of a release of etcd for a layout; None: it is the only member."""
    return _ALONE if layout is None else layout.flags(directory, release)


def load_layout(directory: Path) -> EtcdLayout | None:
    """The layout in etcd's directory; None: it is the only member.

    Raises:
        InvalidInput: the file is damaged. Unavailable: it cannot be read.
    """
    return load_json(
        directory / _FILE, lambda fields: EtcdLayout(**fields | {"initial_cluster": tuple(fields["initial_cluster"])})
    )


def save_layout(directory: Path, layout: EtcdLayout) -> None:
    """Used from etcd's next start on. Raises Unavailable: it cannot be written."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(directory / _FILE, json.dumps(asdict(layout), indent=1).encode())
    except OSError as error:
        raise Unavailable(f"cannot write {directory / _FILE}: {error.strerror}") from error


def remove_layout(directory: Path) -> None:
    """It is the only member from etcd's next start on."""
    (directory / _FILE).unlink(missing_ok=True)
