"""References from services to secrets and configs. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from manager.file_contents.file_kinds import FILE_KINDS, FileKind, version_key
from manager.planner.spec.effective_spec import spec_in_force
from manager.records.object_lookup import SubmittedFiles, find_file
from manager.store.changes import PRESENT, Expect, Write, expect, put
from manager.store.kinds import NAME
from manager.store.tables import View
from manager.validation.file_rules import target_of
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import File, FileReference
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.errors import Fault, NotFound, ShoalError


def resolve(spec: ServiceSpec, view: View, submitted: SubmittedFiles) -> list[Fault]:
    """Resolve every reference: ID, version, name and target.

    A reference that names a version keeps it as long as it exists, so that a rollback brings back what ran;
    one without a version gets the newest one.
    """
    faults: list[Fault] = []
    for kind in FILE_KINDS:
        for index, reference in enumerate(kind.references(spec.task.container)):
            path = f"task.container.{kind.name}s[{index}]"
            try:
                _resolve(kind, reference, view, submitted)
            except ShoalError as error:
                faults.append(Fault(f"{path}.source", str(error)))
    return faults or _target_conflicts(spec.task.container)


def _resolve(kind: FileKind, reference: FileReference, view: View, submitted: SubmittedFiles) -> None:
    file = submitted.get(f"{kind.name}/{reference.source}") or _by_id(submitted, kind, reference.source)
    if file is None:
        file = find_file(view, kind, reference.source)
        if reference.version and f"{file.meta.id}/{reference.version}" not in kind.versions(view):
            raise NotFound(
                f'{kind.name} "{file.spec.name}" has no version {reference.version}; omit the version to use the newest'
            )
    reference.source, reference.name = file.meta.id, file.spec.name
    reference.version = reference.version or file.version
    reference.target = target_of(kind, reference, file.spec.name)
    reference.template = file.spec.template


def _by_id(submitted: SubmittedFiles, kind: FileKind, reference: str) -> File | None:
    own = (file for key, file in submitted.items() if key.startswith(f"{kind.name}/"))
    return next((file for file in own if file.meta.id == reference), None)


def _target_conflicts(container: ContainerSpec) -> list[Fault]:
    """References without a target have got one by now, which may conflict with another."""
    seen = {mount.target.rstrip("/") for mount in container.mounts}
    faults = []
    for kind in FILE_KINDS:
        for index, reference in enumerate(kind.references(container)):
            if reference.target in seen:
                path = f"task.container.{kind.name}s[{index}].target"
                faults.append(Fault(path, f'"{reference.target[:80]}" is mounted twice'))
            seen.add(reference.target)
    return faults


def touch(view: View, spec: ServiceSpec, previous: ServiceSpec | None = None) -> tuple[list[Write], list[Expect]]:
    """Touch the name records of files that a service starts using, or starts using in another version.

    That raises their versions, so that a removal, an update or a collection that has not seen the service fails; and it
    fails itself when the file was changed or the version is gone.
    """
    before = set(_references(previous)) if previous is not None else set()
    writes: dict[str, Write] = {}
    expects: dict[Expect, None] = {}
    for kind, key in _references(spec):
        file = kind.files(view).get(key.partition("/")[0])
        if (kind, key) in before or file is None or key not in kind.versions(view):
            continue  # a new file is created by the same request
        name = f"{kind.name}/{file.spec.name}"
        writes[name] = put(NAME, name, Name(meta=Meta(id=file.meta.id)))
        expects[expect(kind.record_kind, file.meta.id, file.meta.version)] = None
        expects[expect(kind.version_record_kind, key, PRESENT)] = None
    return list(writes.values()), list(expects)


def users(view: View, kind: FileKind) -> Mapping[str, Sequence[str]]:
    """Names of the services that use a file, by its ID and by "<ID>/<version>"."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for service in view.services.values():
        for reference in kind.references(service.spec.task.container):
            found[reference.source].add(service.spec.name)
            found[version_key(reference)].add(service.spec.name)
    return {key: sorted(names) for key, names in found.items()}


def referenced_versions(view: View, kind: FileKind) -> frozenset[str]:
    """Versions that a kept revision refers to. One pass over all revisions."""
    return frozenset(
        version_key(reference)
        for revision in view.revisions.values()
        for reference in kind.references(revision.spec.task.container)
    )


def followers(view: View, kind: FileKind, file: File) -> Iterator[tuple[Service, ServiceSpec]]:
    """Services that follow the file and are at another version, with their specs in force at its newest."""
    for service in view.services.values():
        spec = ServiceSpec()
        spec.CopyFrom(spec_in_force(view, service))
        behind = [
            reference
            for reference in kind.references(spec.task.container)
            if reference.source == file.meta.id
            and reference.policy != FileReference.PIN
            and reference.version != file.version
        ]
        for reference in behind:
            reference.version = file.version
        if behind:
            yield service, spec


def _references(spec: ServiceSpec) -> Iterator[tuple[FileKind, str]]:
    for kind in FILE_KINDS:
        for reference in kind.references(spec.task.container):
            yield kind, version_key(reference)
