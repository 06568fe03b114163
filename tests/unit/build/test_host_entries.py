"""Names that a build's commands find in /etc/hosts."""

import asyncio
from dataclasses import replace
from typing import Any

from agent.build.program.running.build_network import BuildNetworks
from shoal.api.v1.builds_pb2 import BuildStart
from tests.unit.build.test_frames import SETTINGS


def test_the_host_gateway_is_the_node() -> None:
    start = BuildStart(extra_hosts=["a:host-gateway", "b:192.0.2.7"])
    no_agent: Any = None
    networks = BuildNetworks(no_agent, replace(SETTINGS, node_address="198.51.100.3"), start)
    files = asyncio.run(networks.find("none")).files
    assert files["/etc/hosts"].endswith(b"198.51.100.3\ta\n192.0.2.7\tb\n")
