"""Which services use which version of which secret or config, and what follows from it. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from manager.control_api.lookup import find_file
from manager.control_api.validate_files import target_of
from manager.files.nouns import NOUNS, FileNoun, version_key
from manager.planner.effective import spec_in_force
from manager.store.changes import PRESENT, Expect, Write, expect, put
from manager.store.kinds import NAME
from manager.store.tables import View
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import File, FileReference
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.errors import Fault, NotFound, ShoalError

Coming = Mapping[str, File]
"""Files as the same call will make or change them, by "<noun>/<name>"."""


def resolve(spec: ServiceSpec, view: View, coming: Coming) -> list[Fault]:
    """Puts id, version, name and target into every reference.

    A reference that names a version keeps it as long as it is there, so that a rollback brings back what ran;
    one without a version gets the newest.
    """
    faults: list[Fault] = []
    for noun in NOUNS:
        for index, reference in enumerate(noun.references(spec.task.container)):
            path = f"task.container.{noun.name}s[{index}]"
            try:
                _resolve(noun, reference, view, coming)
            except ShoalError as error:
                faults.append(Fault(f"{path}.source", str(error)))
    return faults or _same_target(spec.task.container)


def _resolve(noun: FileNoun, reference: FileReference, view: View, coming: Coming) -> None:
    file = coming.get(f"{noun.name}/{reference.source}") or _by_id(coming, noun, reference.source)
    if file is None:
        file = find_file(view, noun, reference.source)
        if reference.version and f"{file.meta.id}/{reference.version}" not in noun.versions(view):
            raise NotFound(
                f'{noun.name} "{file.spec.name}" has no version {reference.version}; leave it out for the newest'
            )
    reference.source, reference.name = file.meta.id, file.spec.name
    reference.version = reference.version or file.version
    reference.target = target_of(noun, reference, file.spec.name)


def _by_id(coming: Coming, noun: FileNoun, reference: str) -> File | None:
    own = (file for key, file in coming.items() if key.startswith(f"{noun.name}/"))
    return next((file for file in own if file.meta.id == reference), None)


def _same_target(container: ContainerSpec) -> list[Fault]:
    """References that name no target have one now, which may be another's."""
    seen = {mount.target.rstrip("/") for mount in container.mounts}
    faults = []
    for noun in NOUNS:
        for index, reference in enumerate(noun.references(container)):
            if reference.target in seen:
                path = f"task.container.{noun.name}s[{index}].target"
                faults.append(Fault(path, f'"{reference.target[:80]}" is mounted twice'))
            seen.add(reference.target)
    return faults


def touch(view: View, spec: ServiceSpec, had: ServiceSpec | None = None) -> tuple[list[Write], list[Expect]]:
    """Touches the names of files that a service comes to use, or to use in another version.

    That raises their versions, so that a removal, an update or a collection that has not seen the service fails; and it
    fails itself when the file was changed or the version is gone.
    """
    before = set(_named(had)) if had is not None else set()
    writes: dict[str, Write] = {}
    expects: dict[Expect, None] = {}
    for noun, key in _named(spec):
        file = noun.files(view).get(key.partition("/")[0])
        if (noun, key) in before or file is None or key not in noun.versions(view):
            continue  # those that are not there yet come with the same call
        name = f"{noun.name}/{file.spec.name}"
        writes[name] = put(NAME, name, Name(meta=Meta(id=file.meta.id)))
        expects[expect(noun.kind, file.meta.id, file.meta.version)] = None
        expects[expect(noun.version_kind, key, PRESENT)] = None
    return list(writes.values()), list(expects)


def users(view: View, noun: FileNoun) -> Mapping[str, Sequence[str]]:
    """Names of services by the id of each file, and by "<id>/<version>", that their present specs name."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for service in view.services.values():
        for reference in noun.references(service.spec.task.container):
            found[reference.source].add(service.spec.name)
            found[version_key(reference)].add(service.spec.name)
    return {key: sorted(names) for key, names in found.items()}


def named_versions(view: View, noun: FileNoun) -> frozenset[str]:
    """Versions that a kept revision names. One pass over all revisions."""
    return frozenset(
        version_key(reference)
        for revision in view.revisions.values()
        for reference in noun.references(revision.spec.task.container)
    )


def followers(view: View, noun: FileNoun, file: File) -> Iterator[tuple[Service, ServiceSpec]]:
    """Services that follow the file and are at another version, with their specs in force at its newest."""
    for service in view.services.values():
        spec = ServiceSpec()
        spec.CopyFrom(spec_in_force(view, service))
        behind = [
            reference
            for reference in noun.references(spec.task.container)
            if reference.source == file.meta.id
            and reference.policy != FileReference.PIN
            and reference.version != file.version
        ]
        for reference in behind:
            reference.version = file.version
        if behind:
            yield service, spec


def _named(spec: ServiceSpec) -> Iterator[tuple[FileNoun, str]]:
    for noun in NOUNS:
        for reference in noun.references(spec.task.container):
            yield noun, version_key(reference)
