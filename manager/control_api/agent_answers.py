"""What agents answer, one of which may be in the wrong hands: its bounds, and what is said where it is no answer."""

from collections.abc import Collection
from typing import Any, TypeVar

from grpc import aio

from manager.control_api.seams import AgentAddress
from shoal.api.v1 import streams_pb2
from shoal.api.v1.streams_pb2 import LogBatch
from shoal.errors import Unavailable
from shoal.log_lines import HEADER_BYTES
from shoal.rpc.channel import MAX_MESSAGE_BYTES
from shoal.rpc.request_limits import Deserializer, Oversized, within
from shoal.rpc.wire import Parts

Answer = TypeVar("Answer")

MOST_PARTS = 60_000
"""Entries of an answer: an empty one is two bytes on the wire, and 60 when parsed."""
TORN_LINES = 1_000
"""Of a batch, that a crash of its host left without a header."""

_SERVICE = streams_pb2.DESCRIPTOR.services_by_name["AgentStreams"]
_PARTS = {f"/{_SERVICE.full_name}/{each.name}": Parts(each.output_type) for each in _SERVICE.methods}


class CountedChannel:
    """A channel as a stub needs it: an answer of too many entries is not parsed, `Oversized` stands for it."""

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, *, response_deserializer: Deserializer, **more: Any) -> Any:
        """One answer."""
        return self._channel.unary_unary(method, response_deserializer=_counted(method, response_deserializer), **more)

    def unary_stream(self, method: str, *, response_deserializer: Deserializer, **more: Any) -> Any:
        """Several answers."""
        return self._channel.unary_stream(method, response_deserializer=_counted(method, response_deserializer), **more)

    def stream_stream(self, method: str, *, response_deserializer: Deserializer, **more: Any) -> Any:
        """Several answers to several messages."""
        parse = _counted(method, response_deserializer)
        return self._channel.stream_stream(method, response_deserializer=parse, **more)


def _counted(method: str, parse: Deserializer) -> Deserializer:
    return within(parse, MAX_MESSAGE_BYTES, _PARTS[method], MOST_PARTS)


def readable(answer: Answer | Oversized | None, agent: AgentAddress) -> Answer:
    """The answer itself. gRPC gives None for bytes that are no such message, which only a strange agent sends.

    Raises:
        Unavailable: it is none, or has too many entries.
    """
    if answer is None:
        raise Unavailable(f"the agent at {agent.address} gives an answer that cannot be read; is it of this version?")
    if isinstance(answer, Oversized):
        raise Unavailable(f"the agent at {agent.address} gives an answer that cannot be used: {answer.reason}")
    return answer


def own_lines(batch: LogBatch, asked: Collection[str], agent: AgentAddress) -> LogBatch:
    """The batch itself. Looking for the ends of lines would take long where nearly every byte is one.

    Raises:
        Unavailable: it has lines of other tasks, or what are no lines.
    """
    ends = sum(run.lines.count(b"\n") for run in batch.runs)
    most = TORN_LINES + sum(len(run.lines) for run in batch.runs) // HEADER_BYTES
    if ends > most or not all(run.task_id in asked for run in batch.runs):
        raise Unavailable(f"the agent at {agent.address} gives other lines than those of the tasks it was asked for")
    return batch
