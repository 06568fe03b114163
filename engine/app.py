"""Assembles the engine: the only place that constructs its parts."""

import asyncio
import logging
import os
import resource
import socket
import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version

from engine.cluster.container_lookup import ContainerLookup
from engine.cluster.home_node import HomeNode
from engine.cluster.image_pool import ImagePool
from engine.cluster.own_events import OwnEvents
from engine.cluster.swarm_side import SwarmSide
from engine.handlers.containers.archive_handlers import ArchiveHandlers
from engine.handlers.containers.attach_handlers import AttachHandlers
from engine.handlers.containers.container_handlers import ContainerRecordHandlers
from engine.handlers.containers.container_run_handlers import ContainerRunHandlers
from engine.handlers.containers.exec_handlers import ExecHandlers
from engine.handlers.containers.log_handlers import LogHandlers
from engine.handlers.containers.stats_handlers import StatsHandlers
from engine.handlers.disk_usage_handlers import DiskUsageHandlers
from engine.handlers.event_handlers import EventHandlers
from engine.handlers.images.build_handlers import BuildHandlers
from engine.handlers.images.buildkit_handlers import BuildkitHandlers
from engine.handlers.images.image_handlers import ImageHandlers
from engine.handlers.images.image_transfer_handlers import ImageTransferHandlers
from engine.handlers.network_handlers import NetworkHandlers
from engine.handlers.ping import ping_routes
from engine.handlers.refused_handlers import refused_routes
from engine.handlers.restrictions import Restrictions
from engine.handlers.swarm.file_handlers import FileHandlers, config_calls, secret_calls
from engine.handlers.swarm.node_handlers import NodeHandlers
from engine.handlers.swarm.service_handlers import ServiceHandlers
from engine.handlers.swarm.service_log_handlers import ServiceLogHandlers
from engine.handlers.swarm.swarm_guard import guarded
from engine.handlers.swarm.swarm_handlers import SwarmHandlers
from engine.handlers.system_handlers import SystemHandlers
from engine.handlers.volume_handlers import VolumeHandlers
from engine.server.api_server import ApiServer
from engine.server.callers import ApiCaller, local_caller
from engine.server.listeners import passed_listeners, serve, server_context, tcp_listener, unix_listener
from engine.server.output_delivery import OutputDelivery
from engine.server.routes import RouteTable
from engine.settings import EngineSettings
from shoal.contexts.certificate_renewal import renew_if_due
from shoal.contexts.context_file import Context
from shoal.contexts.context_store import ContextStore, default_directory
from shoal.daemons.sd_notify import sd_notify
from shoal.distribution.registries import Registries, read_registries
from shoal.errors import InvalidInput
from shoal.identity.certificates import subject_of
from shoal.identity.identity import CA_FILE, Identity
from shoal.identity.roles import Role
from shoal.manager_calls.acting_user import acting_for
from shoal.manager_calls.issued_certificate import maintain_server_certificate
from shoal.manager_calls.manager_connection import connect_to_managers
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.monitoring import ClientMonitor
from shoal.monitoring.server import monitoring_server
from shoal.rpc.on_behalf import ActingUser
from shoal.task_group import TaskGroup
from shoal.telemetry.tracing import tracing

DISTRIBUTION = "shoal"

_log = logging.getLogger(__name__)

Listeners = dict[socket.socket, ssl.SSLContext | None]


async def run(settings: EngineSettings) -> None:
    """Serve until cancelled.

    Raises:
        ShoalError: there is no context, or an address cannot be listened on.
    """
    context = ContextStore(default_directory(os.environ)).resolve(settings.context or None, os.environ)
    if warning := await asyncio.to_thread(renew_if_due, context, datetime.now(UTC)):
        _log.warning("%s", warning)
    _raise_open_files()
    async with AsyncExitStack() as stack:
        identity = Identity.load(context.directory)
        managers, maintenance = await connect_to_managers(stack, context, identity)
        own = subject_of(identity.certificate)
        if settings.forbid and own.role is Role.ADMIN:
            _log.warning(
                "--forbid restricts nobody, since the engine acts with an admin's context; use one of role engine, "
                "which a manager keeps in the directory engine of its state"
            )
        server = ApiServer(
            route_table(settings, managers, registries_of(settings, context)),
            cluster="" if settings.tls_ca else own.cluster,
            local=local_caller(own.role),
            acting_for=lambda caller: acting_for(user_for(caller, own.role)),
        )
        monitor = ClientMonitor(
            managers, name="engine", identity=lambda: Identity.load(context.directory), own=server.metrics.families
        )
        await stack.enter_async_context(
            monitoring_server(settings.monitoring, checks=monitor.checks, collect=monitor.collect)
        )
        await stack.enter_async_context(tracing("shoal-engine"))
        listeners = open_listeners(settings, context)
        await stack.enter_async_context(serve(server.http_server(), listeners))
        for each in listeners:
            _log.info("listening on %s", _address_text(each))
        sd_notify("READY=1", os.environ)
        tls = next((each for each in listeners.values() if each is not None), None)
        async with TaskGroup() as group:
            if tls is not None:
                group.create_task(_keep_certificate(settings, tls, managers))
            await maintenance.maintain()


async def _keep_certificate(settings: EngineSettings, tls: ssl.SSLContext, managers: Managers) -> None:
    await maintain_server_certificate(
        tls,
        managers,
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        listen=settings.listen.rpartition(":")[0].strip("[]"),
        names=settings.tls_names,
    )


def _raise_open_files() -> None:
    """A connection is a descriptor, and 1,024 are fewer than the connections that are let in."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def user_for(caller: ApiCaller, own_role: Role) -> ActingUser | None:
    """Whom managers are told that a request is for; None: nobody but the engine's context itself.

    Only an engine may name a user; with an admin's context all that is asked of an engine is that admin's doing.
    """
    return None if caller.is_local or own_role is not Role.ENGINE else ActingUser(caller.name, caller.role)


def route_table(settings: EngineSettings, managers: Managers, registries: Registries) -> RouteTable:
    """All routes of the API with their handlers."""
    home, lookup, own_events = HomeNode(managers, settings.home_node), ContainerLookup(managers), OwnEvents()
    events = EventHandlers(managers, own_events)
    delivery = OutputDelivery()
    restrictions, side = Restrictions(frozenset(settings.forbid), lookup.find), SwarmSide(managers)
    services = ServiceHandlers(managers, restrictions=restrictions)
    networks = NetworkHandlers(managers, lookup)
    volumes, pool = VolumeHandlers(managers, restrictions=restrictions), ImagePool(managers, registries)
    buildkit = BuildkitHandlers(managers, home, restrictions=restrictions)
    system = SystemHandlers(
        managers,
        home_name=settings.home_node,
        shoal_version=version(DISTRIBUTION),
        listeners=lambda: events.listeners,
        registries=registries,
    )
    handlers = (
        system,
        events,
        ContainerRecordHandlers(managers, lookup, home, own_events, restrictions=restrictions),
        ContainerRunHandlers(managers, lookup, delivery),
        AttachHandlers(managers, lookup, own_events, delivery, restrictions=restrictions),
        LogHandlers(managers, lookup),
        StatsHandlers(managers, lookup),
        ArchiveHandlers(managers, lookup, own_events, restrictions=restrictions),
        ExecHandlers(managers, lookup, own_events, restrictions=restrictions),
        networks,
        BuildHandlers(
            managers, home, restrictions=restrictions, network_name=networks.name_of, in_session=buildkit.build
        ),
        buildkit,
        volumes,
        DiskUsageHandlers(managers, lookup, volumes),
        ImageHandlers(managers, pool),
        ImageTransferHandlers(managers, pool, lookup, own_events),
        SwarmHandlers(managers, home, side),
    )
    of_swarm = (
        NodeHandlers(managers, home),
        services,
        ServiceLogHandlers(managers, services),
        FileHandlers(managers, secret_calls(managers)),
        FileHandlers(managers, config_calls(managers)),
    )
    routes = [*ping_routes(is_swarm_active=side.was_shown), *(route for each in handlers for route in each.routes())]
    routes += guarded((route for each in of_swarm for route in each.routes()), side)
    return RouteTable([*routes, *refused_routes(frozenset(route.operation for route in routes))])


def registries_of(settings: EngineSettings, context: Context) -> Registries:
    """Settings of registries: the file that is named, else the context's."""
    path = settings.registries_file or context.registries
    return read_registries(path) if path is not None else Registries()


def open_listeners(settings: EngineSettings, context: Context) -> Listeners:
    """The sockets to listen on: what systemd has passed, else the Unix socket; and TCP.

    Raises:
        Unavailable: an address cannot be had; InvalidInput: there is none at all, or a file of TLS cannot be used.
    """
    found: Listeners = dict.fromkeys(passed_listeners(os.environ))
    if not found and settings.socket is not None:
        found[unix_listener(settings.socket, group=settings.socket_group)] = None
    authority = settings.tls_ca or context.directory / CA_FILE
    tls = server_context(settings.tls_certificate, settings.tls_key, authority)
    for each in found:
        if each.family != socket.AF_UNIX:
            found[each] = tls
    if settings.listen:
        host, _, port = settings.listen.rpartition(":")
        found[tcp_listener(host.strip("[]"), int(port))] = tls
    if not found:
        raise InvalidInput("there is nothing to listen on; give --socket or --listen")
    return found


def _address_text(listener: socket.socket) -> str:
    name = listener.getsockname()
    return f"unix://{name}" if isinstance(name, str) else f"tcp://{name[0]}:{name[1]}"
