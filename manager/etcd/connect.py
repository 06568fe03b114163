"""Connects to etcd as the settings say: to an external cluster, or to the manager's own server."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from manager.etcd.client import Etcd
from manager.etcd.data_copy import read_copy
from manager.etcd.data_release import warn_if_old
from manager.etcd.members import TlsFiles, cluster_members, own_member
from manager.etcd.read_only_client import ReadOnlyEtcd
from manager.etcd.server import EtcdServer, etcd_server
from manager.settings import Settings
from shoal.errors import Unavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedEtcd:
    """A client, and the server that it is of; None: an external cluster.

    Attributes:
        read_only: the client reads a copy of the server's data, since that finds no majority.
    """

    client: Etcd
    server: EtcdServer | None = None
    read_only: bool = False


Serve = Callable[[OpenedEtcd], Awaitable[None]]


@asynccontextmanager
async def open_etcd(settings: Settings, serve_meanwhile: Serve | None = None) -> AsyncGenerator[OpenedEtcd]:
    """A client of the configured cluster, else of an own etcd that runs as long as this block.

    Args:
        serve_meanwhile: runs while an own etcd finds no majority, with a copy of its data; cancelled once it responds.

    Raises:
        Refused: another manager runs that etcd. Unavailable: etcd cannot be reached or started.
    """
    if not settings.etcd_endpoints:
        server = EtcdServer(settings.state_directory)
        meanwhile = partial(_serve_copy, server, serve_meanwhile) if serve_meanwhile is not None else None
        async with etcd_server(server, meanwhile) as own:
            yield OpenedEtcd(own, server)
        return
    async with cluster_members(settings.etcd_endpoints, _tls(settings)) as members:
        client = Etcd(members=members)
        warn_if_old(await _version(client, settings))
        await client.discover_limits()
        yield OpenedEtcd(client)


async def _serve_copy(server: EtcdServer, serve: Serve) -> None:
    """Returns when the copy cannot be read: there is nothing to serve."""
    try:
        copy = await read_copy(server)
    except Unavailable as error:
        _log.error("cannot serve reads until etcd has a majority: %s", error)
        return
    async with own_member(server.socket) as members:
        client = ReadOnlyEtcd(members=members, copy=copy, now_ms=time.time_ns() // 1_000_000)
        await serve(OpenedEtcd(client, server, read_only=True))


@asynccontextmanager
async def connect_to_running_etcd(settings: Settings) -> AsyncGenerator[Etcd]:
    """A client of the same etcd, run by another process.

    Raises:
        Unavailable: it is not running.
    """
    if settings.etcd_endpoints:
        async with open_etcd(settings) as opened:
            yield opened.client
        return
    async with own_member(EtcdServer(settings.state_directory).socket) as members:
        yield Etcd(members=members)


async def _version(client: Etcd, settings: Settings) -> str:
    try:
        return await client.version()
    except Unavailable as error:
        raise Unavailable(f"{', '.join(settings.etcd_endpoints)}: {error}") from error


def _tls(settings: Settings) -> TlsFiles | None:
    if settings.etcd_ca is None or settings.etcd_certificate is None or settings.etcd_key is None:
        return None
    return TlsFiles(
        ca=settings.etcd_ca,
        certificate=settings.etcd_certificate,
        key=settings.etcd_key,
        server_name=settings.etcd_server_name,
    )
