"""A client of etcd of the checker's own: plain calls of etcd's API, on the managers' Unix sockets. Knows no store."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import grpc

from manager.etcd.v3 import etcd_pb2 as rpc
from manager.etcd.v3.etcd_pb2_grpc import ClusterStub, KVStub, MaintenanceStub, WatchStub
from shoal.api.v1.cluster_pb2 import Leader, Manager

PREFIX = b"/shoal/v1/"
AFTER_PREFIX = b"/shoal/v10"
"""The end of the range of keys with the prefix."""

CALL_SECONDS = 3.0
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

R = TypeVar("R")


class NoMember(Exception):
    """No member of etcd answers in time."""


class EtcdReader:
    """All members, by their manager's name.

    Args:
        sockets: of clients.
    """

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._channels = {
            name: grpc.insecure_channel(f"unix:{path}", options=_OPTIONS) for name, path in sockets.items()
        }

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def watch_stub(self, name: str) -> WatchStub:
        """Of one member."""
        return WatchStub(self._channels[name])

    def records(self, name: str = "", *, revision: int = 0) -> tuple[int, dict[bytes, rpc.KeyValue]]:
        """All records of the cluster, at a revision that a majority has.

        Args:
            name: ask this member; empty: any that answers.
            revision: as they were then; 0: now.
        Raises:
            NoMember: none answers.
        """
        request = rpc.RangeRequest(key=PREFIX, range_end=AFTER_PREFIX, revision=revision)
        answer = self._ask(lambda channel: KVStub(channel).Range(request, timeout=CALL_SECONDS), name)
        return answer.header.revision, {each.key: each for each in answer.kvs}

    def get(self, key: bytes) -> rpc.KeyValue | None:
        """One record. Raises NoMember."""
        answer = self._ask(lambda channel: KVStub(channel).Range(rpc.RangeRequest(key=key), timeout=CALL_SECONDS))
        return answer.kvs[0] if answer.kvs else None

    def status(self, name: str) -> rpc.StatusResponse:
        """Of one member. Raises NoMember."""
        return self._ask(
            lambda channel: MaintenanceStub(channel).Status(rpc.StatusRequest(), timeout=CALL_SECONDS), name
        )

    def leader(self) -> str:
        """The manager whose etcd leads; empty: none says so."""
        for name in self._channels:
            with suppress(NoMember):
                status = self.status(name)
                if status.header.member_id == status.leader:
                    return name
        return ""

    def leading_manager(self) -> str:
        """Id of the manager that leads; empty: none does, or etcd does not answer."""
        with suppress(NoMember):
            found = self.get(PREFIX + b"leader")
            return Leader.FromString(found.value).manager_id if found else ""
        return ""

    def managers(self) -> list[Manager]:
        """Records of the managers that run."""
        with suppress(NoMember):
            _, records = self.records()
            return [Manager.FromString(each.value) for key, each in records.items() if b"v1/managers/" in key]
        return []

    def members(self) -> list[rpc.Member]:
        """Raises NoMember."""
        return list(
            self._ask(
                lambda channel: ClusterStub(channel).MemberList(rpc.MemberListRequest(), timeout=CALL_SECONDS)
            ).members
        )

    def compact(self) -> int:
        """Compact at the newest revision, which it returns. Raises NoMember."""
        revision, _ = self.records()
        request = rpc.CompactionRequest(revision=revision, physical=False)
        with suppress(grpc.RpcError):  # compacted by somebody else meanwhile
            self._ask(lambda channel: KVStub(channel).Compact(request, timeout=CALL_SECONDS))
        return revision

    def raise_no_space(self, name: str) -> None:
        """Activate the alarm by which members refuse writes once their quota is used up. Raises NoMember."""
        member = self.status(name).header.member_id
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.ACTIVATE, memberID=member, alarm=rpc.NOSPACE)
        self._ask(lambda channel: MaintenanceStub(channel).Alarm(request, timeout=CALL_SECONDS), name)

    def _ask(self, call: Callable[[grpc.Channel], R], name: str = "") -> R:
        last: grpc.RpcError | None = None
        for channel in self._of(name):
            try:
                return call(channel)
            except grpc.RpcError as error:
                last = error
        raise NoMember(str(last))

    def _of(self, name: str) -> Iterator[grpc.Channel]:
        yield from [self._channels[name]] if name else self._channels.values()
