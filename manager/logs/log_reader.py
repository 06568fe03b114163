"""How log calls read the logs of a node."""

from collections.abc import AsyncGenerator
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from shoal.api.v1.streams_pb2 import LogBatch, ReadLogsRequest


class LogReader(Protocol):
    """The agents' log streams; `manager.agents.agent_channels.AgentChannels` is one."""

    def read_logs(self, agent: AgentAddress, request: ReadLogsRequest) -> AsyncGenerator[LogBatch, None]:
        """Raises Unavailable when the node does not respond, NotFound when it has none of the tasks."""
        ...
