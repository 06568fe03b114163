"""Calls of a driver's controller as messages, and what comes of them in the record. Pure."""

from manager.dispatcher.admission import one_line
from manager.volume_keeper.decide import Call, Method, copy_of
from manager.volume_keeper.facts import Driver
from shoal.api.v1.streams_pb2 import (
    AttachOnDriver,
    CallDriverRequest,
    CallDriverResponse,
    CreateOnDriver,
    DeleteOnDriver,
    DetachOnDriver,
    DriverFailure,
    DriverVolume,
)
from shoal.api.v1.volume_pb2 import Segments, Volume, VolumePublication, VolumeStatus

ANSWER_BYTES = 32_768
"""Of a driver's answer, which is kept with the volume and sent with each attachment (4 KiB a map by the interface)."""


def request_of(call: Call, volume: Volume, driver: Driver) -> CallDriverRequest:
    """The message for an agent."""
    status, spec = call.status, volume.spec
    request = CallDriverRequest(driver=spec.driver)
    match call.method:
        case Method.CREATE:
            create = CreateOnDriver(
                name=f"shoal-{volume.meta.id}",  # of the id: a name is free again once its volume is removed
                parameters=spec.options,
                size_bytes=spec.size_bytes,
                limit_bytes=spec.limit_bytes,
                access_mode=spec.access_mode,
                topologies=[Segments(segments=each) for each in driver.topologies],
            )
            request.create.CopyFrom(create)
        case Method.DELETE:
            request.delete.CopyFrom(DeleteOnDriver(driver_volume_id=status.driver_volume_id))
        case Method.ATTACH:
            attach = AttachOnDriver(
                driver_volume_id=status.driver_volume_id,
                driver_node_id=publication_of(status, call.node_id).driver_node_id,
                access_mode=spec.access_mode,
                context=status.context,
            )
            request.attach.CopyFrom(attach)
        case Method.DETACH:
            node = publication_of(status, call.node_id).driver_node_id
            request.detach.CopyFrom(DetachOnDriver(driver_volume_id=status.driver_volume_id, driver_node_id=node))
    return request


def failure_of(call: Call, answer: CallDriverResponse) -> DriverFailure | None:
    """Why nothing came of a call, within bounds; None when it succeeded and what it says can be kept."""
    if answer.HasField("failure"):
        return DriverFailure(message=one_line(answer.failure.message), uncertain=answer.failure.uncertain)
    if call.method is Method.CREATE and not answer.created.driver_volume_id:
        return DriverFailure(message="the driver says that the volume is made, and does not name it", uncertain=True)
    if answer.ByteSize() > ANSWER_BYTES:
        return DriverFailure(message=f"the driver's answer has more than {ANSWER_BYTES} bytes", uncertain=True)
    return None


def done(call: Call, answer: CallDriverResponse) -> VolumeStatus:
    """The record after a call that succeeded."""
    status = copy_of(call.status)
    status.problem = ""
    match call.method:
        case Method.CREATE:
            _note_volume(status, answer.created)
        case Method.DELETE:
            status.deleted = True
        case Method.ATTACH:
            each = publication_of(status, call.node_id)
            each.state, each.problem = VolumePublication.READY, ""
            each.context.clear()
            each.context.update(answer.attached.context)
        case Method.DETACH:
            status.publications.remove(publication_of(status, call.node_id))
    return status


def failed(call: Call, problem: str, *, uncertain: bool) -> VolumeStatus:
    """The record after one that did not, or whose outcome is not known."""
    status = copy_of(call.status)
    if call.method is Method.CREATE:
        status.problem, status.uncertain = problem, uncertain
    elif call.method is Method.DELETE:
        status.problem = problem
    else:
        publication_of(status, call.node_id).problem = problem
    return status


def publication_of(status: VolumeStatus, node_id: str) -> VolumePublication:
    """The publication to a node, which is there."""
    return next(each for each in status.publications if each.node_id == node_id)


def _note_volume(status: VolumeStatus, made: DriverVolume) -> None:
    status.driver_volume_id, status.capacity_bytes, status.uncertain = made.driver_volume_id, made.capacity_bytes, False
    status.context.clear()
    status.context.update(made.context)
    del status.topologies[:]
    status.topologies.extend(made.topologies)
