"""The servers of a manager's two ports, with the services that they serve."""

import time
from dataclasses import dataclass

from grpc import aio

from manager.agents.build_channels import BuildChannels
from manager.assembly.components import Components
from manager.assembly.control import make_control_service
from manager.assembly.shared import Shared, now_ms
from manager.builds.build_cache_handler import BuildCacheHandler
from manager.builds.build_handler import BuildHandler
from manager.builds.build_network_records import BuildNetworkRecords
from manager.certificate_authority.ca_service import MAX_JOIN_BYTES, CertificateAuthorityService
from manager.certificate_authority.join_limits import FailedTokenLimit, IssuanceLimit
from manager.certificate_authority.manager_joins import ManagerJoins
from manager.cluster.epoch_comparison import current_epoch
from manager.control_api.builds_servicer import BuildsService
from manager.control_api.containers_service import container_runs, containers_service
from manager.control_api.images_servicer import ImagesService
from manager.dispatcher.manager_peers import ManagerPeersService
from manager.images.image_handler import ImageHandler
from shoal import ids
from shoal.api.v1.builds_pb2_grpc import add_BuildsServicer_to_server
from shoal.api.v1.certificate_authority_pb2_grpc import add_CertificateAuthorityServicer_to_server
from shoal.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from shoal.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server, add_ManagerPeersServicer_to_server
from shoal.api.v1.engine_pb2_grpc import add_ContainersServicer_to_server, add_ImagesServicer_to_server
from shoal.rpc import access, server_limits
from shoal.rpc.conditional_reads import ConditionalReads
from shoal.rpc.grpc_server import make_server
from shoal.rpc.manager_access import FOR_REMOVED_MANAGERS, MANAGER_API, READS_OF_RECORDS
from shoal.rpc.read_revisions import ReadRevisions
from shoal.rpc.removed_managers import RemovedManagers
from shoal.rpc.request_limits import MAX_REQUEST_BYTES


@dataclass(frozen=True)
class Servers:
    """Not started yet.

    Attributes:
        api: for whoever has a certificate.
        joins: for whoever wants one.
    """

    api: aio.Server
    joins: aio.Server


def make_servers(shared: Shared, components: Components) -> Servers:
    """Both servers, with all services."""
    servers = Servers(
        api=_api_server(shared),
        joins=make_server(access.JOIN, max_receive_bytes=MAX_JOIN_BYTES, limits=server_limits.JOIN),
    )
    add_ControlServicer_to_server(make_control_service(shared, components), servers.api)
    _add_engine_services(servers.api, shared, components)
    add_DispatcherServicer_to_server(components.dispatcher, servers.api)
    add_ManagerPeersServicer_to_server(_peers_service(shared, components), servers.api)
    authority = _authority_service(shared)
    add_CertificateAuthorityServicer_to_server(authority, servers.api)
    add_CertificateAuthorityServicer_to_server(authority, servers.joins)
    return servers


def _api_server(shared: Shared) -> aio.Server:
    store, etcd = shared.store, shared.etcd
    revisions = ReadRevisions(
        newest=lambda: store.newest_revision,
        reached=store.reached,
        stale_since_ms=lambda: etcd.majority.silent_since(now_ms()),
    )
    return make_server(
        MANAGER_API,
        max_receive_bytes=MAX_REQUEST_BYTES,
        limits=server_limits.MANAGER_API,
        revisions=revisions,
        conditional=ConditionalReads(READS_OF_RECORDS, lambda: store.view_name),
        removed=RemovedManagers(lambda: store.tables.removed_managers, FOR_REMOVED_MANAGERS),
    )


def _add_engine_services(server: aio.Server, shared: Shared, components: Components) -> None:
    """Images, containers and builds."""
    store, agents, images = shared.store, shared.agents, components.images
    names = ImageHandler(store=store, contents=images.repository, now_ms=now_ms)
    add_ImagesServicer_to_server(ImagesService(names), server)
    containers = containers_service(store, agents, images.named, images.repository, names, now_ms)
    add_ContainersServicer_to_server(containers, server)
    builders = BuildChannels(agents)
    runs = container_runs(store, agents, now_ms)
    builds = BuildHandler(
        store=store,
        agents=builders,
        repository=images.repository,
        images=images.named,
        names=names,
        networks=BuildNetworkRecords(store=store, runs=runs, now_ms=now_ms, new_id=ids.new_id),
    )
    cache = BuildCacheHandler(store=store, agents=builders)
    add_BuildsServicer_to_server(BuildsService(builds, cache), server)


def _peers_service(shared: Shared, components: Components) -> ManagerPeersService:
    tables = shared.store.tables
    return ManagerPeersService(
        applied=components.dispatcher.applied,
        attempts=components.dispatcher.attempts.failed_elsewhere,
        events=components.events.between,
        memberships=tables.memberships,
        managers=tables.managers,
        removed=tables.removed_managers,
        members=components.place.members,
        end_term=components.leadership.end_term,
        etcds=components.etcds,
        diagnose=components.diagnosis.host.diagnose,
        epoch=lambda: current_epoch(tables),
    )


def _authority_service(shared: Shared) -> CertificateAuthorityService:
    joins = ManagerJoins(
        store=shared.store,
        authority=shared.authority,
        own_etcd=shared.has_own_etcd,
        now_ms=now_ms,
        new_id=ids.new_id,
    )
    return CertificateAuthorityService(
        authority=shared.authority,
        manager_joins=joins,
        managers=shared.store.tables.registered_managers,
        failed_tokens=FailedTokenLimit(clock=time.monotonic),
        issuance=IssuanceLimit(clock=time.monotonic),
    )
