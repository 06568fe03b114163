"""What the components of one manager share: its records, its etcd, its identity, and its calls to others."""

import time
from dataclasses import dataclass
from pathlib import Path

from manager.agents.agent_channels import AgentChannels
from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.cluster.peer_managers import PeerManagerClient
from manager.etcd.client import Etcd
from manager.etcd.connect import OpenedEtcd
from manager.manager_identity import ManagerIdentity
from manager.settings import Settings
from manager.store.store import Store
from shoal import ids
from shoal.errors import Refused
from shoal.identity import identity
from shoal.identity.keyring import Keyring, load_keyring


def now_ms() -> int:
    """The clock of all components: milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Shared:
    """What components share.

    Attributes:
        store: all records are loaded.
        keyring: encrypts what is stored.
        own: this manager's identity.
        peers, agents: calls to other managers, and to agents.
    """

    settings: Settings
    store: Store
    opened: OpenedEtcd
    keyring: Keyring
    authority: CertificateAuthority
    own: ManagerIdentity
    peers: PeerManagerClient
    agents: AgentChannels

    @property
    def etcd(self) -> Etcd:
        """The client of etcd, or of a copy of its data."""
        return self.opened.client

    @property
    def has_own_etcd(self) -> bool:
        """Whether this manager runs a member of etcd."""
        return self.opened.server is not None

    @property
    def quota_bytes(self) -> int:
        """Of the etcd that this manager runs; 0: unknown."""
        return self.opened.server.quota_bytes if self.opened.server is not None else 0

    @property
    def manager_id(self) -> str:
        """Of this manager."""
        return self.own.manager_id


def identity_directory(settings: Settings) -> Path:
    """Where this manager's certificate is."""
    return settings.state_directory / "identity"


async def open_shared(settings: Settings, store: Store, opened: OpenedEtcd) -> Shared:
    """Find this manager's place in the cluster of a loaded store; the first manager creates the cluster.

    Raises:
        Refused: etcd is empty although this manager belongs to a cluster.
        NotFound, InvalidInput: there is no key, or it is not the cluster's.
        Unavailable: etcd is unavailable.
    """
    directory = identity_directory(settings)
    if store.tables.cluster is None and identity.is_complete(directory):
        raise Refused(
            "etcd is empty, but this manager belongs to a cluster: restore a backup with "
            f"`shoal-manager restore FILE`, or delete {directory} to create a new cluster"
        )
    # Only a cluster's first manager creates the key; it is copied to any other.
    keyring = load_keyring(settings.key_file, make=store.tables.cluster is None)
    authority = CertificateAuthority(store=store, keyring=keyring, clock=time.time, new_id=ids.new_id)
    await authority.bootstrap()
    own = ManagerIdentity(authority=authority, directory=directory, clock=time.time, new_id=ids.new_id)
    peers, agents = PeerManagerClient(lambda: own.current), AgentChannels(lambda: own.current)
    return Shared(settings, store, opened, keyring, authority, own, peers, agents)
