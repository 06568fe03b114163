"""Secrets and configs that a container references, and how they are mounted. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from agent.worker.interfaces import MountedFile
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.service_pb2 import ServiceRevision

DEFAULT_MODE = 0o444
_SECRET, _CONFIG = "secret", "config"


def required_contents(container: ContainerSpec) -> Mapping[str, FileReference]:
    """The references of a container by the keys of their contents."""
    return {f"{kind}/{each.source}/{each.version}": each for kind, each in _references(container)}


def required_by(revisions: Iterable[ServiceRevision]) -> frozenset[str]:
    """Keys of all contents that any of the revisions needs."""
    return frozenset(key for revision in revisions for key in required_contents(revision.spec.task.container))


def mounted_files(container: ContainerSpec, contents: Mapping[str, bytes]) -> tuple[MountedFile, ...]:
    """The files to mount, with their contents."""
    return tuple(
        MountedFile(
            path=each.target,
            content=contents[f"{kind}/{each.source}/{each.version}"],
            uid=each.uid,
            gid=each.gid,
            mode=each.mode if each.HasField("mode") else DEFAULT_MODE,
            executable=kind == _CONFIG,
            template=each.template,
        )
        for kind, each in _references(container)
    )


def waiting_message(container: ContainerSpec, missing: Iterable[str]) -> str:
    """A line for the user: names, never contents."""
    references = required_contents(container)
    names = sorted(f"{key.partition('/')[0]} {references[key].name}" for key in missing)
    return f"waiting for {', '.join(names)}"


def _references(container: ContainerSpec) -> Iterator[tuple[str, FileReference]]:
    for kind, references in ((_SECRET, container.secrets), (_CONFIG, container.configs)):
        for reference in references:
            yield kind, reference
