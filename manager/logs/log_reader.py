"""How log calls read the logs of a node."""

from collections.abc import AsyncGenerator
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from shoal.api.v1.streams_pb2 import ReadLogsRequest
from shoal.logs.encoded_batch import Batch
from shoal.logs.log_lines import parse_line


class LogReader(Protocol):
    """The agents' log streams; `manager.agents.agent_channels.AgentChannels` is one."""

    def read_logs(self, agent: AgentAddress, request: ReadLogsRequest) -> AsyncGenerator[Batch, None]:
        """Raises Unavailable when the node does not respond, NotFound when it has none of the tasks."""
        ...


def last_time_ns(batch: Batch) -> int:
    """When the last line of a batch was written, nanoseconds since the Unix epoch; 0 if it is not a valid line."""
    lines = batch.chunks[-1].lines if batch.chunks else b""
    last = parse_line(lines[lines.rfind(b"\n", 0, -1) + 1 :])
    return last.time_ns if last is not None else 0
