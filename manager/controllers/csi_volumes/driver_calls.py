"""Calls of a driver's controller as messages, and their results in the record. Pure."""

from manager.controllers.csi_volumes.next_volume_step import DriverCall, DriverMethod, copy_status
from manager.controllers.csi_volumes.volume_facts import DriverFacts
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    DriverAttachVolume,
    DriverCreateVolume,
    DriverDeleteVolume,
    DriverDetachVolume,
    DriverFailure,
    DriverVolume,
)
from shoal.api.v1.volume_pb2 import Segments, Volume, VolumePublication, VolumeStatus
from shoal.one_line import one_line

MAX_ANSWER_BYTES = 32_768
"""Of a driver's response, which is stored with the volume and sent with each attachment (4 KiB a map by CSI)."""


def request_of(call: DriverCall, volume: Volume, driver: DriverFacts) -> CallDriverRequest:
    """The message for an agent."""
    status, spec = call.status, volume.spec
    request = CallDriverRequest(driver=spec.driver)
    match call.method:
        case DriverMethod.CREATE:
            create = DriverCreateVolume(
                name=f"shoal-{volume.meta.id}",  # by id: a name can be reused once its volume is removed
                parameters=spec.options,
                size_bytes=spec.size_bytes,
                limit_bytes=spec.limit_bytes,
                access_mode=spec.access_mode,
                topologies=[Segments(segments=each) for each in driver.topologies],
            )
            request.create.CopyFrom(create)
        case DriverMethod.DELETE:
            request.delete.CopyFrom(DriverDeleteVolume(driver_volume_id=status.driver_volume_id))
        case DriverMethod.ATTACH:
            attach = DriverAttachVolume(
                driver_volume_id=status.driver_volume_id,
                driver_node_id=publication_of(status, call.node_id).driver_node_id,
                access_mode=spec.access_mode,
                context=status.context,
            )
            request.attach.CopyFrom(attach)
        case DriverMethod.DETACH:
            node = publication_of(status, call.node_id).driver_node_id
            request.detach.CopyFrom(DriverDetachVolume(driver_volume_id=status.driver_volume_id, driver_node_id=node))
    return request


def failure_of(call: DriverCall, answer: CallDriverResponse) -> DriverFailure | None:
    """Why a call failed, sanitized; None if it succeeded and its response can be stored."""
    if answer.HasField("failure"):
        return DriverFailure(message=one_line(answer.failure.message), outcome_unknown=answer.failure.outcome_unknown)
    if call.method is DriverMethod.CREATE and not answer.created.driver_volume_id:
        return DriverFailure(message="the driver created the volume but returned no volume id", outcome_unknown=True)
    if answer.ByteSize() > MAX_ANSWER_BYTES:
        return DriverFailure(message=f"the driver's response exceeds {MAX_ANSWER_BYTES} bytes", outcome_unknown=True)
    return None


def after_success(call: DriverCall, answer: CallDriverResponse) -> VolumeStatus:
    """The record after a call that succeeded."""
    status = copy_status(call.status)
    status.problem = ""
    match call.method:
        case DriverMethod.CREATE:
            _set_volume(status, answer.created)
        case DriverMethod.DELETE:
            status.deleted = True
        case DriverMethod.ATTACH:
            each = publication_of(status, call.node_id)
            each.state, each.problem = VolumePublication.READY, ""
            each.context.clear()
            each.context.update(answer.attached.context)
        case DriverMethod.DETACH:
            status.publications.remove(publication_of(status, call.node_id))
    return status


def after_failure(call: DriverCall, problem: str, *, outcome_unknown: bool) -> VolumeStatus:
    """The record after a call that failed, or whose outcome is unknown."""
    status = copy_status(call.status)
    if call.method is DriverMethod.CREATE:
        status.problem, status.outcome_unknown = problem, outcome_unknown
    elif call.method is DriverMethod.DELETE:
        status.problem = problem
    else:
        publication_of(status, call.node_id).problem = problem
    return status


def publication_of(status: VolumeStatus, node_id: str) -> VolumePublication:
    """The publication to a node, which exists."""
    return next(each for each in status.publications if each.node_id == node_id)


def _set_volume(status: VolumeStatus, made: DriverVolume) -> None:
    status.driver_volume_id, status.capacity_bytes, status.outcome_unknown = (
        made.driver_volume_id,
        made.capacity_bytes,
        False,
    )
    status.context.clear()
    status.context.update(made.context)
    del status.topologies[:]
    status.topologies.extend(made.topologies)
