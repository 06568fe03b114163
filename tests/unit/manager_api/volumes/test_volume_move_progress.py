"""What events and listings say of a volume's move."""

from manager.events.event_builder import events_of, observe
from manager.store import kinds
from manager.store.changes import put
from manager.volumes.volume_handler import views
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.volume_pb2 import StaleVolumeCopy, Volume, VolumeMove, VolumeMoveStatus, VolumeSpec, VolumeStatus
from tests.unit.manager_api.control_rig import Api, with_api

GIB = 1 << 30


def moving() -> Volume:
    volume = Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="local"))
    volume.moves.append(VolumeMove(from_node_id="n1", to_node_id="n2", started_at_ms=5))
    return volume


def status(
    state: VolumeMoveStatus.State.ValueType, message: str = "", *, done: int = 0, attempts: int = 0
) -> VolumeStatus:
    move = VolumeMoveStatus(
        from_node_id="n1",
        to_node_id="n2",
        started_at_ms=5,
        state=state,
        message=message,
        bytes=done,
        total_bytes=10 * GIB if attempts else 0,
        attempts=attempts,
    )
    return VolumeStatus(volume_id="v", moves=[move])


async def reported(api: Api, *records: Volume | VolumeStatus) -> list[str]:
    """The events of the records, written one after the other."""
    view, lines = api.store.tables, list[str]()
    with api.store.follow() as changes:
        for record in records:
            if isinstance(record, Volume):
                await api.store.commit([put(kinds.VOLUME, "v", record)])
            else:
                await api.store.commit([put(kinds.VOLUME_STATUS, "v", record)])
            for change in await anext(changes):
                if (seen := observe(change, view, 1)) is not None:
                    lines += [f"{each.action} {each.name}: {each.message}" for each in events_of(seen, view)]
    return lines


async def nodes(api: Api) -> None:
    await api.add_node("n1", "h1")
    await api.add_node("n2", "h2")


def test_a_move_that_is_resumed_and_done() -> None:
    async def scenario(api: Api) -> None:
        await nodes(api)
        copying, verifying = VolumeMoveStatus.COPYING, VolumeMoveStatus.VERIFYING
        ended = Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="local"))
        ended.stale_copies.append(StaleVolumeCopy(node_id="n1", home_node_id="n2"))
        lines = await reported(
            api,
            Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="local")),
            moving(),
            status(VolumeMoveStatus.WAITING, "waits until the tasks that use it have ended"),
            status(copying, attempts=1),
            status(copying, attempts=1, done=2 * GIB),
            status(copying, attempts=1, done=4 * GIB),
            status(VolumeMoveStatus.WAITING, "node h2 does not answer; it is tried again", attempts=1, done=4 * GIB),
            status(copying, attempts=2, done=4 * GIB),
            status(verifying, attempts=2, done=1 * GIB),
            status(verifying, attempts=2, done=9 * GIB),
            status(VolumeMoveStatus.DONE, attempts=2, done=10 * GIB),
            ended,
        )
        assert lines == [
            "create data: ",
            "move-started data: from node h1 to node h2",
            "move-waiting data: waits until the tasks that use it have ended",
            "move-copying data: 10 GiB",
            "move-waiting data: node h2 does not answer; it is tried again",
            "move-resumed data: 40% of 10 GiB copied",
            "move-verifying data: 10 GiB copied",
            "move-done data: from node h1 to node h2, 10 GiB",
        ]

    with_api(scenario)


def test_a_move_that_fails_and_one_that_is_cancelled() -> None:
    async def scenario(api: Api) -> None:
        await nodes(api)
        await reported(api, moving(), status(VolumeMoveStatus.COPYING, attempts=1))
        failed = status(VolumeMoveStatus.FAILED, "no room on h2", attempts=1, done=7 * GIB)
        assert await reported(api, failed) == [
            "move-failed data: from node h1 to node h2, after 70% of 10 GiB copied: no room on h2"
        ]
        assert await reported(api, status(VolumeMoveStatus.CANCELLED)) == [
            "move-cancelled data: from node h1 to node h2, after nothing copied"
        ]

    with_api(scenario)


def test_a_listing_shows_the_move_that_is_under_way() -> None:
    async def scenario(api: Api) -> None:
        await nodes(api)
        await reported(api, moving())
        view = api.store.tables
        (begun,) = next(views(view, [view.volumes["v"]])).moves
        assert (begun.from_hostname, begun.to_hostname, begun.percent) == ("h1", "h2", 0)
        assert begun.status.state == VolumeMoveStatus.WAITING
        await reported(api, status(VolumeMoveStatus.COPYING, attempts=1, done=4 * GIB))
        (copying,) = next(views(view, [view.volumes["v"]])).moves
        assert (copying.percent, copying.status.state) == (40, VolumeMoveStatus.COPYING)
        ended = Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="local"))
        await reported(api, status(VolumeMoveStatus.DONE, attempts=1, done=10 * GIB), ended)
        assert not next(views(view, [view.volumes["v"]])).moves

    with_api(scenario)
