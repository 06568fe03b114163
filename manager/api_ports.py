"""A manager's two ports: opened, served, and reported to systemd."""

import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from grpc import aio

from manager.advertised_address import advertised_host, ip_of, with_port
from manager.agents.agent_channels import AgentChannels
from manager.manager_identity import ManagerIdentity
from manager.settings import Settings
from manager.upgrades.state_formats import STATE_FORMAT
from shoal.api.v1.cluster_pb2 import Manager
from shoal.daemons.sd_notify import sd_notify
from shoal.rpc.grpc_server import listen

_log = logging.getLogger(__name__)

VERSION = version("shoal")


def listen_on_ports(
    settings: Settings, api_server: aio.Server, join_server: aio.Server, own: ManagerIdentity, key_id: str
) -> Manager:
    """Listen on both ports; returns this manager's record."""
    host = advertised_host(settings.advertise_address, settings.api_address)
    api_port = listen(api_server, settings.api_address, lambda: own.current)
    join_port = listen(join_server, settings.join_address, lambda: own.current, require_client_certificate=False)
    return Manager(
        id=own.manager_id,
        api_address=with_port(host, api_port),
        join_address=with_port(host, join_port),
        version=VERSION,
        started_at_ms=time.time_ns() // 1_000_000,
        key_id=key_id,
        host_address=ip_of(host),
        state_format=STATE_FORMAT,
    )


@asynccontextmanager
async def closed_at_exit(agents: AgentChannels) -> AsyncGenerator[None]:
    """Close the channels after the block."""
    try:
        yield
    finally:
        await agents.close()


def report_ready(manager: Manager, *, read_only: bool) -> None:
    """Log, and tell systemd, that both ports are served."""
    status = "etcd has no majority: only reads are served, which may be out of date" if read_only else "ready"
    (_log.warning if read_only else _log.info)(
        "%s; serving the API on %s and joins on %s", status, manager.api_address, manager.join_address
    )
    sd_notify(f"READY=1\nSTATUS={status}", os.environ)
