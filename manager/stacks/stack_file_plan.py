"""Secrets and configs of a stack: what deploying or removing the stack changes. Pure, given the keys of the codec."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from manager.file_contents.content_codec import ContentCodec
from manager.file_contents.file_kinds import CONFIGS, FILE_KINDS, SECRETS, FileKind
from manager.files import file_changes
from manager.records.in_use import in_use
from manager.services import file_references
from manager.stacks.stack_plan import PlannedChange
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.file_rules import check_file
from manager.volumes.volume_secret_references import volume_users
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse, StackFile
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, Refused
from shoal.ids import NewId

Change = DeployStackResponse.Change

ContentsByKind = Mapping[str, ContentCodec]
"""How contents are stored, by the name of the kind."""


@dataclass(frozen=True)
class FilesPlan:
    """Changes of the stack's files.

    Attributes:
        submitted: the files as they will be, for references of the stack's services.
        changed: files that get another version: services outside the stack may follow them.
    """

    planned: list[PlannedChange] = field(default_factory=list)
    submitted: dict[str, File] = field(default_factory=dict)
    changed: list[tuple[FileKind, File]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def kept(self) -> frozenset[str]:
        """Files that the request has, as "<kind>/<name>"."""
        return frozenset(self.submitted)


def plan_files(
    store: RecordStore, request: DeployStackRequest, contents: ContentsByKind, new_id: NewId, now_ms: int
) -> FilesPlan:
    """New files, and new versions of changed ones. If it has faults, nothing of it may be used."""
    plan = FilesPlan()
    for kind, sent in ((SECRETS, request.secrets), (CONFIGS, request.configs)):
        for each in sent:
            _plan_file(plan, store, kind, each, request.stack, contents[kind.name], new_id, now_ms)
    return plan


def _plan_file(
    plan: FilesPlan,
    store: RecordStore,
    kind: FileKind,
    sent: StackFile,
    stack: str,
    contents: ContentCodec,
    new_id: NewId,
    now_ms: int,
) -> None:
    spec = sent.spec
    faults = list(check_file(spec, sent.content))
    present = kind.named(store.tables, spec.name)
    if present is not None and present.spec.stack != stack:
        faults.append(Fault("name", f'{kind.name} "{spec.name}" already exists and does not belong to this stack'))
    if faults:
        path = f"{kind.name}s.{spec.name}"
        plan.faults.extend(Fault(f"{path}.{fault.path}", fault.message) for fault in faults)
        return
    if present is None:
        file = file_changes.new_file(new_id(), spec, sent.content, contents, now_ms)
        step = file_changes.creation(kind, file, sent.content, contents)
        plan.planned.append(PlannedChange(_change(kind, file, "create"), step))
    else:
        file = file_changes.with_changes(present, spec, sent.content, contents, now_ms)
        same = file is present
        step_or_none = None if same else file_changes.alteration(store, kind, present, file, sent.content, contents)
        plan.planned.append(PlannedChange(_change(kind, file, "unchanged" if same else "update"), step_or_none))
        if file.version != present.version:
            plan.changed.append((kind, file))
    plan.submitted[f"{kind.name}/{spec.name}"] = file


def plan_followers(view: View, plan: FilesPlan, stack: str, now_ms: int) -> Iterator[PlannedChange]:
    """Services of other stacks, or of none, that follow what the stack changes."""
    for kind, file in plan.changed:
        for service, step in file_changes.follower_updates(view, kind, file, now_ms):
            if service.spec.stack != stack:
                yield PlannedChange(
                    Change(kind="service", name=service.spec.name, action="update", id=service.meta.id), step
                )


def referenced_by(specs: Iterable[ServiceSpec]) -> frozenset[str]:
    """Files that validated specs use, as "<kind>/<name>"."""
    return frozenset(
        f"{kind.name}/{reference.name}"
        for spec in specs
        for kind in FILE_KINDS
        for reference in kind.references(spec.task.container)
    )


def plan_removal(
    store: RecordStore, stack: str, *, keep: frozenset[str], removed_services: frozenset[str]
) -> list[PlannedChange]:
    """Removals of the stack's files that are not kept, except those that its volumes' drivers need.

    Args:
        keep: as `FilesPlan.kept`.
        removed_services: names of services that are removed with them, or will not use them any more.
    Raises:
        Refused: a service that remains uses one of them.
    """
    planned = []
    for kind in FILE_KINDS:
        users, volumes = file_references.users(store.tables, kind), volume_users(store.tables, kind)
        for file in sorted(kind.files(store.tables).values(), key=lambda each: each.spec.name):
            if file.spec.stack != stack or f"{kind.name}/{file.spec.name}" in keep or file.meta.id in volumes:
                continue
            remaining = [name for name in users.get(file.meta.id, ()) if name not in removed_services]
            if remaining:
                raise Refused(in_use(kind.name, file.spec.name, remaining))
            planned.append(PlannedChange(_change(kind, file, "remove"), file_changes.removal(store, kind, file)))
    return planned


def _change(kind: FileKind, file: File, action: str) -> Change:
    return Change(kind=kind.name, name=file.spec.name, action=action, id=file.meta.id)
