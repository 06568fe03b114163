"""The etcd that the settings mean: one of somebody else's, or the manager's own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from manager.settings import Settings
from manager.store.etcd import Etcd
from manager.store.etcd_channel import EtcdTls, cluster_members, own_member
from manager.store.server import EtcdServer, etcd_server, warn_if_old
from shoal.errors import Unavailable


@asynccontextmanager
async def etcd_of(settings: Settings) -> AsyncGenerator[Etcd]:
    """A client of the cluster named, else of an etcd that runs as long as this block.

    Raises:
        Refused: that etcd is run by a manager already. Unavailable: etcd cannot be reached, or not be started.
    """
    if not settings.etcd_endpoints:
        async with etcd_server(EtcdServer(settings.state_directory)) as own:
            yield own
        return
    async with cluster_members(settings.etcd_endpoints, _tls(settings)) as members:
        client = Etcd(members=members)
        warn_if_old(await _version(client, settings))
        await client.learn_bounds()
        yield client


@asynccontextmanager
async def running_etcd_of(settings: Settings) -> AsyncGenerator[Etcd]:
    """A client of the same, of which another process is to be the manager.

    Raises:
        Unavailable: it does not run.
    """
    if settings.etcd_endpoints:
        async with etcd_of(settings) as client:
            yield client
        return
    async with own_member(EtcdServer(settings.state_directory).socket) as members:
        yield Etcd(members=members)


async def _version(client: Etcd, settings: Settings) -> str:
    try:
        return await client.version()
    except Unavailable as error:
        raise Unavailable(f"{', '.join(settings.etcd_endpoints)}: {error}") from error


def _tls(settings: Settings) -> EtcdTls | None:
    if settings.etcd_ca is None or settings.etcd_certificate is None or settings.etcd_key is None:
        return None
    return EtcdTls(
        ca=settings.etcd_ca,
        certificate=settings.etcd_certificate,
        key=settings.etcd_key,
        server_name=settings.etcd_server_name,
    )
