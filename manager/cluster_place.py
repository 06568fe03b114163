"""This manager's place among the managers: its etcd as one of several members, and what it does for it as leader."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.cluster.epoch_comparison import EpochComparison, current_epoch
from manager.etcd.connect import OpenedEtcd
from manager.etcd.own_etcd import OwnEtcd, PeerAddresses
from manager.leadership.leadership import Transfer, never_transfer
from manager.leadership.leadership_transfer import EndTerm, LeadershipTransfer
from manager.membership.member_api import EtcdMembers, RemovedFromCluster
from manager.membership.membership_controller import MembershipController
from manager.recover import known_managers, save_managers
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Manager
from shoal.errors import Refused, Unavailable
from shoal.identity import certificates, identity
from shoal.identity.identity import Identity

_log = logging.getLogger(__name__)

CHECK_SECONDS = 3600.0
REMEMBER_SECONDS = 10.0
EPOCH_SECONDS = 15.0


class ClusterPlace:
    """Of one manager; with an external etcd there is nothing to do.

    Args:
        addresses: where its own etcd is reached by the others'.
        epochs: finds out whether the others have later records.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        store: Store,
        opened: OpenedEtcd,
        authority: CertificateAuthority,
        manager_id: str,
        state_directory: Path,
        addresses: PeerAddresses,
        epochs: EpochComparison,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._opened = opened
        self._authority = authority
        self._id = manager_id
        self._state_directory = state_directory
        self._addresses = addresses
        self._epochs = epochs
        self._now_ms = now_ms
        self._member_id = 0
        self.changed = asyncio.Event()
        self._own = self._own_etcd()

    async def prepare(self) -> None:
        """Before this manager is registered.

        Raises:
            RemovedFromCluster: an operator has removed this manager, or others have restored the cluster.
            Unavailable: etcd does not respond.
        """
        if self._id in self._store.tables.removed_managers:
            raise RemovedFromCluster(f"manager {self._id} was removed from the cluster")
        await self._compare_epochs()
        if self._own is not None and not self._opened.read_only:
            self._member_id = await self._own.member_id()
            if self._own.peers_open:
                self._own.renew_certificate()

    def described(self, manager: Manager) -> Manager:
        """The manager's record with what concerns its etcd, as it is now."""
        described = Manager()
        described.CopyFrom(manager)
        if self._opened.server is not None and self._own is not None:
            described.etcd_version = self._opened.server.release
            described.etcd_member_id = self._member_id
            described.etcd_peer_address = self._own.peer_address
            described.etcd_peers_open = self._own.peers_open
        return described

    async def members(self) -> EtcdMembers:
        """Of the managers' etcd; none of an external one. Raises Unavailable: it does not respond."""
        return EtcdMembers(()) if self._own is None else await self._opened.client.member_changes.list()

    async def lead(self, fence: int) -> None:
        """What the leader does. Raises as `MembershipController.run`."""
        if self._own is not None:
            await self._controller(self._own).run(fence)
        await asyncio.Event().wait()

    def transfer_leadership(self, end_term: EndTerm) -> Transfer:
        """What ends this manager's term when its own etcd does not respond, given a call to another manager."""
        if self._own is None:
            return never_transfer
        responds = self._opened.client.responds
        return LeadershipTransfer(responds=responds, others=self._other_managers, end_term=end_term).run

    def _other_managers(self) -> dict[str, str]:
        """API addresses of those that run."""
        running = self._store.tables.managers
        return {key: each.api_address for key, each in running.items() if key != self._id}

    async def hand_over_when_removed(self) -> None:
        """On every manager, as `MembershipController.hand_over_when_removed`."""
        if self._own is not None:
            await self._controller(self._own).hand_over_when_removed()

    async def keep_certificate_valid(self) -> None:
        """Renew the certificate of this manager's etcd after half of its validity, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                if self._own is not None and self._own.peers_open:
                    self._own.renew_certificate()
            except Unavailable as error:
                _log.error("cannot renew the certificate of etcd: %s", error)

    async def remember_managers(self) -> None:
        """Keep the file with the other managers' addresses, for `shoal-manager recover`, until cancelled."""
        saved: dict[str, str] | None = None
        while True:
            registered = self._store.tables.registered_managers
            found = {key: each.api_address for key, each in registered.items() if key != self._id}
            if found != saved:
                try:
                    save_managers(self._state_directory, found)
                    saved = found
                except OSError as error:
                    _log.error("cannot write the addresses of the other managers: %s", error.strerror)
            await asyncio.sleep(REMEMBER_SECONDS)

    async def leave_when_replaced(self) -> None:
        """Until cancelled.

        Raises:
            RemovedFromCluster: as `EpochComparison.check`.
        """
        while True:
            await asyncio.sleep(EPOCH_SECONDS)
            await self._compare_epochs()

    async def _compare_epochs(self) -> None:
        """With an external etcd all managers have the same."""
        if self._own is None:
            return
        registered = self._store.tables.registered_managers
        addresses = {each.api_address for key, each in registered.items() if key != self._id}
        with suppress(Refused):  # not written yet
            addresses |= set(known_managers(self._state_directory).values())
        await self._epochs.check(self._id, current_epoch(self._store.tables), addresses)

    def _controller(self, own: OwnEtcd) -> MembershipController:
        changes = self._opened.client.member_changes
        return MembershipController(store=self._store, etcd=changes, own=own, manager_id=self._id, now_ms=self._now_ms)

    def _own_etcd(self) -> OwnEtcd | None:
        if self._opened.server is None:
            return None
        return OwnEtcd(
            server=self._opened.server,
            client=self._opened.client,
            name=self._id,
            addresses=self._addresses,
            write_certificate=self._write_certificate,
            opened=self.changed.set,
        )

    def _write_certificate(self, directory: Path, host: str) -> None:
        """A valid certificate for this host is kept."""
        now = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        root = self._authority.cluster().ca_certificate
        if identity.is_complete(directory):
            found = Identity.load(directory)
            valid = certificates.is_signed_by(found.certificate, root) and certificates.names_host(
                found.certificate, host
            )
            if valid and not certificates.needs_renewal(found.certificate, now):
                return
            key = found.key  # etcd reads the files one after the other: they fit at every instant.
        else:
            key = certificates.new_key()
        certificate = self._authority.sign_peer(certificates.request(key), self._id, host)
        Identity(certificate=certificate, key=key, ca=root).save(directory)
