"""Removes everything that an agent created on its host."""

import logging
from contextlib import suppress

from agent.app import now_ms
from agent.component_settings import cgroup_parent
from agent.network.network_lifecycle import open_node_network
from agent.network.network_settings import NetworkSettings
from agent.runtime.open_runtime import RuntimeConfig, open_runtime
from agent.settings import AgentSettings
from agent.volumes.mount_table import unmount_all
from agent.worker.container_runtime import Exit
from shoal.errors import ShoalError
from shoal.identity import certificates, identity
from shoal.identity.identity import Identity
from shoal.tree_removal import delete_trees

LOOPBACK = "127.0.0.1"
"""Removal needs no underlay, and the host may have lost its address."""

_log = logging.getLogger(__name__)


async def reset(settings: AgentSettings, *, images: bool) -> None:
    """Remove this agent's containers, cgroups, mounts, links, nft tables, journal and identity. The agent must not be
    running.

    A failed call can be repeated: the identity, which determines the cgroups, is removed last.

    Args:
        images: remove images, and the data of volumes, too.
    Raises:
        ShoalError: the first failure; everything else has been removed.
    """
    if identity.is_complete(settings.identity_directory):
        certificate = Identity.load(settings.identity_directory).certificate
        await _reset_host(settings, certificates.subject_of(certificate).id)
    # CSI volumes are unmounted first, so that their data is not deleted with the directory.
    unmount_all(settings.attached_directory)
    keep = {settings.csi_directory} | (set() if images else {settings.images_directory, settings.volumes_directory})
    keep.add(settings.identity_directory)
    delete_trees(*(path for path in settings.state_directory.glob("*") if path not in keep))
    delete_trees(settings.identity_directory)
    if images and not settings.csi_directory.exists():
        with suppress(OSError):
            settings.state_directory.rmdir()


async def _reset_host(settings: AgentSettings, node_id: str) -> None:
    failures: list[ShoalError] = []
    for work in (_remove_containers(settings, node_id), _remove_network(settings, node_id)):
        try:
            await work
        except ShoalError as error:
            failures.append(error)
    if failures:
        raise failures[0]


async def _remove_containers(settings: AgentSettings, node_id: str) -> None:
    def on_exit(task_id: str, end: Exit) -> None:
        _log.debug("container %s exited with code %d", task_id, end.code)

    config = RuntimeConfig(settings.runtime_directory, settings.run_directory, cgroup_parent(node_id))
    async with open_runtime(config, on_exit=on_exit, clock=now_ms) as runtime:
        await runtime.recover()
        await runtime.reset()


async def _remove_network(settings: AgentSettings, node_id: str) -> None:
    own = NetworkSettings(keys_directory=settings.keys_directory)
    async with open_node_network(underlay_address=LOOPBACK, node_id=node_id, settings=own) as network:
        await network.reset()
