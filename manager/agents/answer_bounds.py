"""Limits on agents' responses: an agent may be compromised, so its responses are checked before they are used."""

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from grpc import aio

from manager.agents.agent_address import AgentAddress
from shoal.api.v1 import agent_containers_pb2, builds_pb2, streams_pb2
from shoal.errors import Unavailable
from shoal.logs.encoded_batch import Batch, lines_of, read_batch, task_ids
from shoal.logs.log_lines import HEADER_BYTES
from shoal.rpc.channel import MAX_MESSAGE_BYTES
from shoal.rpc.message_counting import EntryCounter
from shoal.rpc.request_channel import RequestChannel
from shoal.rpc.request_limits import Deserializer, OversizedMessage, bounded

Answer = TypeVar("Answer")

MAX_ENTRIES = 60_000
"""Entries of a response: an empty one takes two bytes on the wire, and 60 when parsed."""
MAX_TORN_LINES = 1_000
"""Lines of a batch that a crash of the host left without a header."""

_READ_LOGS = "/shoal.api.v1.AgentStreams/ReadLogs"
_SERVICES = (
    streams_pb2.DESCRIPTOR.services_by_name["AgentStreams"],
    agent_containers_pb2.DESCRIPTOR.services_by_name["AgentContainers"],
    builds_pb2.DESCRIPTOR.services_by_name["AgentBuilds"],
)
_ENTRIES = {
    f"/{service.full_name}/{each.name}": EntryCounter(each.output_type)
    for service in _SERVICES
    for each in service.methods
}


class BoundedChannel:
    """A channel for a stub that does not parse responses with too many entries; `OversizedMessage` stands for them.
    Its calls name the request that caused them.
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = RequestChannel(channel)

    def unary_unary(self, method: str, *, response_deserializer: Deserializer, **more: Any) -> Any:
        """One response."""
        return self._channel.unary_unary(method, response_deserializer=_bounded(method, response_deserializer), **more)

    def unary_stream(self, method: str, *, response_deserializer: Deserializer, **more: Any) -> Any:
        """Several responses."""
        return self._channel.unary_stream(method, response_deserializer=_bounded(method, response_deserializer), **more)

    def stream_unary(self, method: str, *, response_deserializer: Deserializer, **more: Any) -> Any:
        """One response to several messages."""
        return self._channel.stream_unary(method, response_deserializer=_bounded(method, response_deserializer), **more)

    def stream_stream(self, method: str, *, response_deserializer: Deserializer, **more: Any) -> Any:
        """Several responses to several messages."""
        parse = _bounded(method, response_deserializer)
        return self._channel.stream_stream(method, response_deserializer=parse, **more)


def _bounded(method: str, parse: Deserializer) -> Deserializer:
    parse = bounded(parse, MAX_MESSAGE_BYTES, _ENTRIES[method], MAX_ENTRIES)
    return parse if method != _READ_LOGS else lambda raw: _log_batch(raw) or parse(raw)


def _log_batch(raw: bytes) -> Batch | None:
    """One of a single run, not parsed: the manager sends it on."""
    return read_batch(raw) if len(raw) <= MAX_MESSAGE_BYTES else None


def checked(answer: Answer | OversizedMessage | None, agent: AgentAddress) -> Answer:
    """The response itself. gRPC gives None for bytes that are not such a message, as only a faulty agent sends.

    Raises:
        Unavailable: it is unreadable, or has too many entries.
    """
    if answer is None:
        raise Unavailable(
            f"the agent at {agent.address} returned an unreadable response; check that it runs the same Shoal version"
        )
    if isinstance(answer, OversizedMessage):
        raise Unavailable(f"the agent at {agent.address} returned an invalid response: {answer.reason}")
    return answer


def requested_lines(batch: Batch, requested: Collection[str], agent: AgentAddress) -> Batch:
    """The batch itself, checked.

    Raises:
        Unavailable: it has lines of other tasks, or invalid lines.
    """
    runs = lines_of(batch)
    most = MAX_TORN_LINES + sum(map(len, runs)) // HEADER_BYTES
    if _has_more_lines(runs, most) or not all(task_id in requested for task_id in task_ids(batch)):
        raise Unavailable(f"the agent at {agent.address} returned log lines of tasks that were not requested")
    return batch


def _has_more_lines(runs: Iterable[bytes], most: int) -> bool:
    """Whether they have more than `most` ends of lines.

    Removing them is several times as fast as counting them, which looks at each byte by itself, and stops early where
    nearly every byte is one.
    """
    for lines in runs:
        most -= len(lines) - len(lines.replace(b"\n", b"", most + 1))
        if most < 0:
            return True
    return False
