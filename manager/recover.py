"""`shoal-manager recover`: continue with this manager alone, after the majority of the managers was lost for good."""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from manager.etcd.client import Etcd
from manager.etcd.layout import load_layout
from manager.etcd.server import EtcdServer, etcd_server
from manager.settings import Settings
from manager.store.backend import Delete, Page, Put, prefix_end
from manager.store.kinds import EPOCH, LEADER, MANAGER, MEMBERSHIP, REGISTERED_MANAGER, REMOVED_MANAGER, ROOT
from manager.store.revision_offset import next_offset, offset_of
from shoal import ids
from shoal.api.v1.cluster_pb2 import Epoch, RemovedManager
from shoal.api.v1.dispatcher_pb2 import ListAppliedRequest
from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersStub
from shoal.errors import Refused
from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.identity.private_files import write_atomically
from shoal.ids import NewId
from shoal.rpc.channel import connect_aio

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 3.0
MANAGERS_FILE = "managers.json"
"""In the state directory: the other managers' API addresses, by id, kept by the running manager."""


class _Named(Protocol):
    """Any kind of record."""

    @property
    def prefix(self) -> str: ...
    def identifier(self, key: bytes) -> str | None: ...


@dataclass(frozen=True)
class Recovered:
    """The manager that continues, and those that are no managers any more."""

    manager_id: str
    removed: Sequence[str]


def recover(settings: Settings, *, program: str = "/usr/bin/etcd", unsafe_no_fsync: bool = False) -> Recovered:
    """Make this manager, which is stopped, the only one. What only the lost managers had stored is lost.

    Raises:
        Refused: it is running, it is the only manager anyway, or another manager responds.
        NotFound: it is no manager yet. Unavailable: etcd does not start.
    """
    if settings.etcd_endpoints:
        raise Refused("this cluster uses an external etcd; recover that one by its own means")
    if load_layout(settings.state_directory / "etcd") is None:
        raise Refused("this manager's etcd is the only one; start the manager, or restore a backup")
    server = EtcdServer(
        settings.state_directory, program=program, unsafe_no_fsync=unsafe_no_fsync, force_new_cluster=True
    )
    return asyncio.run(_recover(settings, server))


def save_managers(state_directory: Path, managers: dict[str, str]) -> None:
    """Remember the other managers' API addresses by id. Raises OSError: the file cannot be written."""
    write_atomically(state_directory / MANAGERS_FILE, json.dumps(managers, sort_keys=True).encode())


async def _recover(settings: Settings, server: EtcdServer) -> Recovered:
    own = Identity.load(settings.state_directory / "identity")
    for manager_id, address in known_managers(settings.state_directory).items():
        if await _responds(address, own):
            raise Refused(
                f"manager {manager_id} at {address} responds: two halves of a cluster must not both continue. Stop it, "
                "or remove the lost managers there with `shoal manager rm`"
            )
    manager_id = certificates.subject_of(own.certificate).id
    async with etcd_server(server) as client:
        return Recovered(manager_id, await _become_only(client, manager_id))


async def _become_only(client: Etcd, manager_id: str) -> Sequence[str]:
    """Rewrite the records; a manager that still runs somewhere can write no more, since the epoch is another one.

    No version is given again that a record had in what is lost.
    """
    now_ms = time.time_ns() // 1_000_000
    others = {
        identifier
        for kind in (REGISTERED_MANAGER, MEMBERSHIP)
        for identifier in await _identifiers(client, kind)
        if identifier != manager_id
    }
    former = await _records(client, EPOCH)
    epoch = next_epoch([Epoch.FromString(each.value) for each in former.records], former.revision, now_ms)
    operations: list[Put | Delete] = [Delete(LEADER.key("")), Put(EPOCH.key(epoch.id), epoch.SerializeToString())]
    operations += [Delete(each.key) for each in former.records]
    operations += [Delete(MANAGER.key(each)) for each in await _identifiers(client, MANAGER)]
    for each in sorted(others):
        removed = RemovedManager(id=each, removed_at_ms=now_ms)
        operations += [Delete(MEMBERSHIP.key(each)), Delete(REGISTERED_MANAGER.key(each))]
        operations += [Put(REMOVED_MANAGER.key(each), removed.SerializeToString())]
    await client.txn((), operations)
    return sorted(others)


def next_epoch(former: Sequence[Epoch], revision: int, now_ms: int, new_id: NewId = ids.new_id) -> Epoch:
    """The epoch after these, whatever this host's clock says: what the lost managers may have written since they began
    had lower revisions, and of two managers the one of the earlier epoch leaves.

    Args:
        former: one, as a rule.
        revision: etcd's own.
        now_ms: milliseconds since the Unix epoch.
    """
    since_ms = min((each.started_at_ms for each in former), default=0)
    offset = next_offset(revision + offset_of(former), since_ms, now_ms)
    started_at_ms = max(now_ms, *(each.started_at_ms + 1 for each in former), 0)
    return Epoch(id=new_id(), started_at_ms=started_at_ms, revision_offset=offset)


async def _records(client: Etcd, kind: _Named) -> Page:
    prefix = f"{ROOT}{kind.prefix}".encode()
    return await client.range(prefix, prefix_end(prefix))


async def _identifiers(client: Etcd, kind: _Named) -> list[str]:
    found = (await _records(client, kind)).records
    return [each for record in found if (each := kind.identifier(record.key)) is not None]


def known_managers(state_directory: Path) -> dict[str, str]:
    """The other managers' API addresses, by id. Raises Refused: they are not known."""
    try:
        found = json.loads((state_directory / MANAGERS_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise Refused(
            f"cannot read {state_directory / MANAGERS_FILE}, which names the other managers: {error}"
        ) from error
    return {str(key): str(address) for key, address in found.items()}


async def _responds(address: str, own: Identity) -> bool:
    async with connect_aio([address], own) as channel:
        try:
            await ManagerPeersStub(channel).ListApplied(ListAppliedRequest(), timeout=ANSWER_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return True
