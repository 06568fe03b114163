"""Runs a manager: joins the cluster, opens etcd, loads the store, and serves with all components."""

import asyncio
from datetime import UTC, datetime
from functools import partial

from manager.api_ports import closed_at_exit, listen_on_ports, report_ready
from manager.assembly.background import make_monitoring, start_background_work
from manager.assembly.components import Components, make_components
from manager.assembly.servers import Servers, make_servers
from manager.assembly.shared import Shared, open_shared
from manager.etcd.connect import OpenedEtcd, open_etcd
from manager.join_cluster import join_cluster, leave_cluster
from manager.manager_identity import make_state_directory, write_credentials
from manager.membership.member_api import RemovedFromCluster
from manager.settings import Settings
from manager.store.store import Store
from manager.upgrades.state_formats import check_records, check_state_directory
from shoal.api.v1.cluster_pb2 import Manager
from shoal.rpc.grpc_server import started
from shoal.task_group import TaskGroup
from shoal.telemetry.log_formatters import set_log_fields
from shoal.telemetry.tracing import tracing


async def run(settings: Settings) -> None:
    """Run a manager until cancelled.

    Raises:
        InvalidInput, NotFound: the settings do not fit this host or this cluster.
        WrongRelease: a newer release wrote the cluster's state.
        Unavailable, Refused: a port, a file or etcd is not available.
    """
    make_state_directory(settings.state_directory)
    check_state_directory(settings.state_directory)
    try:
        await join_cluster(settings)
        serve = partial(_serve, settings)
        async with open_etcd(settings, serve) as opened:
            await serve(opened)
    except* RemovedFromCluster:
        leave_cluster(settings)
        raise


async def _serve(settings: Settings, opened: OpenedEtcd) -> None:
    store = Store(backend=opened.client)
    async with TaskGroup() as group:
        group.create_task(store.run(), name="store")
        await store.ready()
        check_records(store.tables)
        shared = await open_shared(settings, store, opened)
        await _run_components(shared, await make_components(shared))


async def _run_components(shared: Shared, components: Components) -> None:
    servers = make_servers(shared, components)
    manager = listen_on_ports(shared.settings, servers.api, servers.joins, shared.own, shared.keyring.key_id)
    if not shared.opened.read_only:
        await components.leadership.check_unique(manager)
    set_log_fields(manager=shared.manager_id)
    monitoring = make_monitoring(shared, components)
    async with monitoring, tracing("shoal-manager", manager=shared.manager_id), TaskGroup() as group:
        start_background_work(group, shared, components, manager)
        await _serve_ports(shared, components, servers, manager)


async def _serve_ports(shared: Shared, components: Components, servers: Servers, manager: Manager) -> None:
    images = components.images
    async with (
        started(servers.api),
        started(servers.joins),
        closed_at_exit(shared.agents),
        images.registries,
        images.repository,
    ):
        write_credentials(shared.settings, shared.authority, manager.api_address, datetime.now(UTC))
        report_ready(manager, read_only=shared.opened.read_only)
        await asyncio.Event().wait()
