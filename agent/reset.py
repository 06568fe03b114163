"""Removes everything that an agent created on its host."""

import logging
from contextlib import suppress

from agent.app import cgroup_parent, now_ms
from agent.network.network_settings import NetworkSettings
from agent.network.node_network import NodeNetwork
from agent.runtime.oci_runtime import OciRuntime
from agent.settings import AgentSettings
from agent.volumes.mount_table import unmount_all
from agent.worker.interfaces import Exit
from shoal.errors import ShoalError
from shoal.identity import certificates, identity
from shoal.identity.identity import Identity
from shoal.tree_removal import delete_trees

LOOPBACK = "127.0.0.1"
"""Removing needs no underlay, and the host may have lost the address that it had."""

_log = logging.getLogger(__name__)


async def reset(settings: AgentSettings, *, images: bool) -> None:
    """Remove this agent's containers, cgroups, mounts, links, nft tables, journal and identity. It must not run.

    A call that failed can be repeated: the identity, which names the cgroups, goes last.

    Args:
        images: remove images, and the data of volumes, too.
    Raises:
        ShoalError: the first thing that could not be removed; what else could be is gone.
    """
    if identity.is_complete(settings.identity_directory):
        certificate = Identity.load(settings.identity_directory).certificate
        await _reset_host(settings, certificates.subject_of(certificate).id)
    # What drivers have mounted is let go of, lest the data be deleted with the directory in which it shows.
    unmount_all(settings.attached_directory)
    kept = {settings.csi_directory} | (set() if images else {settings.images_directory, settings.volumes_directory})
    kept.add(settings.identity_directory)
    delete_trees(*(path for path in settings.state_directory.glob("*") if path not in kept))
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
        _log.debug("container %s ended with code %d", task_id, end.code)

    runtime = OciRuntime(settings.runtime_directory, settings.run_directory, cgroup_parent(node_id), on_exit, now_ms)
    async with runtime:
        await runtime.recover()
        await runtime.reset()


async def _remove_network(settings: AgentSettings, node_id: str) -> None:
    own = NetworkSettings(keys_directory=settings.keys_directory)
    network = NodeNetwork(underlay_address=LOOPBACK, node_id=node_id, settings=own)
    await network.start()
    try:
        await network.reset()
    finally:
        await network.stop()
