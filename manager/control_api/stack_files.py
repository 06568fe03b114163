"""Secrets and configs of a stack: what deploying or removing it changes in them. Pure, given the contents' keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from manager.control_api import file_changes, file_uses
from manager.control_api.files import in_use
from manager.control_api.seams import Records
from manager.control_api.stack_plan import Planned, full_name
from manager.control_api.validate_files import check_file
from manager.control_api.volume_secrets import volume_users
from manager.files.contents import Contents
from manager.files.nouns import CONFIGS, NOUNS, SECRETS, FileNoun
from manager.store.tables import View
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse, StackFile
from shoal.api.v1.file_pb2 import File, FileSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, Refused
from shoal.ids import NewId

Change = DeployStackResponse.Change

NounContents = Mapping[str, Contents]
"""How contents are stored, by the noun's name."""


@dataclass(frozen=True)
class FilesPlan:
    """What becomes of the stack's files.

    Attributes:
        coming: the files as they will be, for the references of the stack's services.
        changed: those that get another version, by noun: services outside the stack may follow them.
    """

    planned: list[Planned] = field(default_factory=list)
    coming: dict[str, File] = field(default_factory=dict)
    changed: list[tuple[FileNoun, File]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def kept(self) -> frozenset[str]:
        """Files that the request has, as "<noun>/<name>"."""
        return frozenset(self.coming)


def plan_files(
    store: Records, request: DeployStackRequest, contents: NounContents, new_id: NewId, now_ms: int
) -> FilesPlan:
    """New files, and new versions where a content differs. With faults nothing of it may be used."""
    plan = FilesPlan()
    for noun, sent in ((SECRETS, request.secrets), (CONFIGS, request.configs)):
        for each in sent:
            _plan_file(plan, store, noun, each, request.stack, contents[noun.name], new_id, now_ms)
    return plan


def _plan_file(
    plan: FilesPlan,
    store: Records,
    noun: FileNoun,
    sent: StackFile,
    stack: str,
    contents: Contents,
    new_id: NewId,
    now_ms: int,
) -> None:
    spec = file_spec(sent, stack)
    faults = list(check_file(spec, sent.content))
    present = noun.named(store.tables, spec.name)
    if present is not None and present.spec.stack != stack:
        faults.append(Fault("name", f'a {noun.name} "{spec.name}" exists already and is not of this stack'))
    key = f"{noun.name}/{spec.name}"
    if key in plan.coming:
        faults.append(Fault("name", f'"{spec.name}" is there twice'))
    if faults:
        path = f"{noun.name}s.{spec.name.removeprefix(f'{stack}_')}"
        plan.faults.extend(Fault(f"{path}.{fault.path}", fault.message) for fault in faults)
        return
    if present is None:
        file = file_changes.made(new_id(), spec, sent.content, contents, now_ms)
        step = file_changes.creation(noun, file, sent.content, contents)
        plan.planned.append(Planned(_change(noun, file, "create"), step))
    else:
        file = file_changes.changed(present, spec, sent.content, contents, now_ms)
        same = file is present
        step_or_none = None if same else file_changes.alteration(store, noun, present, file, sent.content, contents)
        plan.planned.append(Planned(_change(noun, file, "unchanged" if same else "update"), step_or_none))
        if file.version != present.version:
            plan.changed.append((noun, file))
    plan.coming[key] = file


def file_spec(sent: StackFile, stack: str) -> FileSpec:
    """The file under its full name; one that names its stack itself has a name of the user's own choice."""
    spec = FileSpec()
    spec.CopyFrom(sent.spec)
    spec.name = sent.spec.name if sent.spec.stack else full_name(stack, sent.spec.name)
    spec.stack = stack
    return spec


def plan_followers(view: View, plan: FilesPlan, stack: str, now_ms: int) -> Iterator[Planned]:
    """Services of other stacks, or of none, that follow what the stack changes."""
    for noun, file in plan.changed:
        for service, step in file_changes.rolling(view, noun, file, now_ms):
            if service.spec.stack != stack:
                yield Planned(Change(kind="service", name=service.spec.name, action="update", id=service.meta.id), step)


def named_by(specs: Iterable[ServiceSpec]) -> frozenset[str]:
    """Files that examined specs use, as "<noun>/<name>"."""
    return frozenset(
        f"{noun.name}/{reference.name}"
        for spec in specs
        for noun in NOUNS
        for reference in noun.references(spec.task.container)
    )


def plan_removal(store: Records, stack: str, *, keep: frozenset[str], going: frozenset[str]) -> list[Planned]:
    """Files of the stack that are not to be kept, but such as its volumes' drivers need: they stay with the volumes.

    Args:
        keep: as `FilesPlan.kept`.
        going: names of services that are removed with them, or that will not name them any more.
    Raises:
        Refused: a service that stays uses one of them.
    """
    planned = []
    for noun in NOUNS:
        users, volumes = file_uses.users(store.tables, noun), volume_users(store.tables, noun)
        for file in sorted(noun.files(store.tables).values(), key=lambda each: each.spec.name):
            if file.spec.stack != stack or f"{noun.name}/{file.spec.name}" in keep or file.meta.id in volumes:
                continue
            staying = [name for name in users.get(file.meta.id, ()) if name not in going]
            if staying:
                raise Refused(in_use(noun, file, staying))
            planned.append(Planned(_change(noun, file, "remove"), file_changes.removal(store, noun, file)))
    return planned


def _change(noun: FileNoun, file: File, action: str) -> Change:
    return Change(kind=noun.name, name=file.spec.name, action=action, id=file.meta.id)
