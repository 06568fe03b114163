"""Volumes per slot: a slot stays on the node where its part of a volume lies, and where it lies is written once.

A slot whose node is down waits for it, for ever or for as long as the spec says; after that it goes elsewhere and
begins with an empty volume. With the node's removal its volumes are given up.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from manager.planner.draft import Draft
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.volume_pb2 import VolumeSlot


@dataclass(frozen=True)
class Home:
    """Where a slot has to run.

    Attributes:
        node_id: empty when its volumes lie on several nodes, so that it can run nowhere.
        volume: the name of one that binds it.
        moves_at_ms: when it is free to go elsewhere, while the node is down and the spec says so; else None.
    """

    node_id: str
    volume: str
    moves_at_ms: int | None = None


@dataclass(frozen=True)
class _Use:
    volume_id: str
    name: str
    hold_ms: int | None


class SlotVolumes:
    """The volumes per slot of one service at one revision."""

    def __init__(self, draft: Draft, service_id: str, revision: int) -> None:
        self._draft = draft
        self._service_id = service_id
        record = draft.view.revision_of(service_id, revision)
        mounts = record.spec.task.container.mounts if record is not None else ()
        self._uses = [_use(mount) for mount in mounts if mount.type == Mount.VOLUME and mount.volume.per_slot]

    def __len__(self) -> int:
        return len(self._uses)

    def home(self, slot: int) -> Home | None:
        """The node that the slot is bound to; None when it may go anywhere."""
        homes: dict[str, Home] = {}
        for use in self._uses:
            record = self._draft.slot_volume(use.volume_id, slot)
            if record is None or record.node_id not in self._draft.view.nodes:
                continue
            home = self._held(use, record)
            if home is not None:
                homes.setdefault(home.node_id, home)
        if len(homes) > 1:
            return Home("", " and ".join(sorted(home.volume for home in homes.values())))
        return next(iter(homes.values()), None)

    def claim(self, slot: int, node_id: str) -> None:
        """The slot's volumes lie on this node from now on."""
        for use in self._uses:
            record = self._draft.slot_volume(use.volume_id, slot)
            if record is None or record.node_id != node_id:
                self._draft.settle_volume(
                    VolumeSlot(volume_id=use.volume_id, slot=slot, node_id=node_id, since_ms=self._draft.now_ms)
                )

    def _held(self, use: _Use, record: VolumeSlot) -> Home | None:
        status = self._draft.down(record.node_id)
        if status is None or use.hold_ms is None:
            return Home(record.node_id, use.name)
        until = status.since_ms + use.hold_ms
        if until <= self._draft.now_ms:
            return None
        self._draft.wake(self._service_id, until)
        return Home(record.node_id, use.name, until)


def waiting(home: Home, slot: int, hostname: str, why: str) -> str:
    """Why a slot is not placed, one line for the user."""
    if not home.node_id:
        return f"slot {slot} has its volumes {home.volume} on several nodes"
    moves = ""
    if home.moves_at_ms is not None:
        moment = datetime.fromtimestamp(home.moves_at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        moves = f"; it moves at {moment}"
    return f"slot {slot} stays with its volume {home.volume} on node {hostname}: {why}{moves}"


def _use(mount: Mount) -> _Use:
    use = mount.volume
    return _Use(mount.source, use.name, use.hold_ms if use.HasField("hold_ms") else None)
