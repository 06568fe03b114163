"""Networks of the cluster for a build's commands: a container's record that has no container, on the build's node.

So the planner gives it addresses, and every node's datapath and DNS know it, as of any container. Its node ends it with
the build, or when the build never comes, and it is removed when its run has ended: whatever becomes of this manager.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from manager.containers import container_records
from manager.containers.container_runs import GIVE_UP_MS
from manager.interfaces import NowMs
from manager.networks import network_references
from manager.store.record_store import RecordStore
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition
from shoal.errors import Conflict, Fault, InvalidInput, ShoalError, Unavailable

NODE_NETWORKS = frozenset({"", "default", "none", "host"})
"""Those that a node has by itself."""
START_SECONDS = 30.0
_IMAGE = "docker.io/library/scratch:latest"
"""Shown of it; nothing is pulled."""


class FirstRuns(Protocol):
    """`manager.containers.container_runs.ContainerRuns` is one."""

    async def first_run(self, created: Container) -> ContainerView:
        """As `ContainerRuns.first_run`."""
        ...


class BuildNetworkRecords:
    """Makes them. For one event loop."""

    def __init__(self, *, store: RecordStore, runs: FirstRuns, now_ms: NowMs, new_id: Callable[[], str]) -> None:
        self._store = store
        self._runs = runs
        self._now_ms = now_ms
        self._new_id = new_id

    async def make(self, network: str, build_id: str, node_id: str) -> str:
        """The id of a task on the node, whose network the build uses; empty for one that nodes have by themselves.

        Raises:
            InvalidInput: there is no such network. Refused: no address is free. Unavailable: the node does not answer.
        """
        if network in NODE_NETWORKS:
            return ""
        container = self._container(network, build_id, node_id)
        group = container_records.creation(self._store.tables, container)
        await self._store.commit(group.writes, expects=group.expects)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._runs.first_run(container)
        except (ShoalError, CancelledError, TimeoutError) as error:
            await self._remove(container.meta.id)
            if isinstance(error, TimeoutError):
                text = f'network "{network}" was not ready on the node within {START_SECONDS:g} s; try again'
                raise Unavailable(text) from error
            raise
        tasks = self._store.tables.tasks_of(container.meta.id)
        return max(tasks.values(), key=lambda task: task.created_at_ms).id if tasks else ""

    def _container(self, network: str, build_id: str, node_id: str) -> Container:
        definition = ContainerDefinition(auto_remove=True, node_id=node_id)
        definition.task.build_id = build_id
        definition.task.container.image = _IMAGE
        definition.task.networks.append(NetworkAttachment(network=network))
        now_ms = self._now_ms()
        made = container_records.new_container(self._new_id(), f"build-{build_id}", definition, now_ms)
        spec = container_records.spec_of(made)
        if faults := network_references.resolve(spec, self._store.tables, {}):
            raise InvalidInput([Fault("network", fault.message) for fault in faults])
        made.definition.task.networks[0].network = spec.task.networks[0].network
        return container_records.started(made, now_ms, now_ms + GIVE_UP_MS)

    async def _remove(self, identifier: str) -> None:
        """It is not used after all."""
        container = self._store.tables.containers.get(identifier)
        if container is None or container.removing:
            return
        changed = container_records.removed(container, with_volumes=True, force=True, now_ms=self._now_ms())
        group = container_records.change(container, changed, self._now_ms())
        with suppress(Conflict):
            await self._store.commit(group.writes, expects=group.expects)
