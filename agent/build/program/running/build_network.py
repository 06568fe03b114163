"""The network of a build's commands: made by the agent at the first command that needs it."""

import asyncio
import os
from dataclasses import dataclass, field

from agent.build.frames import ProgramSettings
from agent.build.program.agent_connection import AgentConnection
from agent.build.program.running.run_spec import HOSTNAME
from agent.build.program.running.run_step import BuildNetwork
from agent.worker.sandbox import Sandbox
from agent.worker.startup.etc_files import etc_files
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.container_pb2 import ContainerSpec

NONE, HOST = "none", "host"


@dataclass
class BuildNetworks:
    """Networks by mode. For one event loop."""

    connection: AgentConnection
    settings: ProgramSettings
    start: BuildStart
    _default: "asyncio.Task[BuildNetwork] | None" = field(default=None)

    async def find(self, mode: str) -> BuildNetwork:
        """The network of "default", "none" or "host". Raises what the agent answers with."""
        if mode == NONE:
            return BuildNetwork(NONE, self._files(None))
        if mode == HOST:
            return BuildNetwork(HOST, self._files(None))
        if self._default is None:
            self._default = asyncio.create_task(self._make())
        return await asyncio.shield(self._default)

    async def _make(self) -> BuildNetwork:
        answer = await self.connection.ask("network")
        descriptor = self.connection.receive_descriptor()
        sandbox = Sandbox(descriptor, answer["addresses"], answer["resolver"], answer["addresses6"])
        return BuildNetwork(f"/proc/{os.getpid()}/fd/{descriptor}", self._files(sandbox))

    def _files(self, sandbox: Sandbox | None) -> dict[str, bytes]:
        spec = ContainerSpec(hostname=HOSTNAME, extra_hosts=self.start.extra_hosts)
        address = self.settings.node_address
        return dict(etc_files(spec, HOSTNAME, sandbox, self.settings.resolv_conf, node_address=address))
