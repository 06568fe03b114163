"""Secret and config calls. One class serves both kinds."""

from collections.abc import Mapping, Sequence

from manager.file_contents.content_codec import ContentCodec
from manager.file_contents.file_kinds import FileKind
from manager.files import file_changes
from manager.interfaces import NowMs
from manager.records import name_records
from manager.records.concurrent_changes import retried
from manager.records.in_use import in_use
from manager.records.object_lookup import find_file
from manager.records.write_groups import WriteGroup, commit_all
from manager.services import file_references
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.file_rules import check_content, check_file
from manager.validation.text_rules import check_labels
from manager.volumes.volume_secret_references import volume_users
from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    FileVersionView,
    FileView,
    GetFileRequest,
    ListFilesRequest,
    ListFilesResponse,
    RemoveFileRequest,
    RemoveFileResponse,
    UpdateFileRequest,
    UpdateFileResponse,
)
from shoal.api.v1.file_pb2 import File, FileSpec, FileVersion
from shoal.errors import AlreadyExists, InvalidInput, Refused
from shoal.ids import NewId
from shoal.rpc.caller import Caller


class FileHandler:
    """The calls of one kind: secrets or configs.

    Args:
        contents: how contents are stored.
        readable: contents are returned to users.
    """

    def __init__(
        self,
        *,
        kind: FileKind,
        contents: ContentCodec,
        readable: bool,
        store: RecordStore,
        now_ms: NowMs,
        new_id: NewId,
    ) -> None:
        self._kind = kind
        self._contents = contents
        self._readable = readable
        self._store = store
        self._now_ms = now_ms
        self._new_id = new_id

    async def create(self, request: CreateFileRequest, caller: Caller) -> FileView:
        """Raises InvalidInput with all faults, AlreadyExists when the name is taken."""
        faults = list(check_file(request.spec, request.content))
        if faults:
            raise InvalidInput(faults)
        kind, name = self._kind, request.spec.name
        taken = f'{kind.name} "{name}" already exists; to create a new version of it, use `shoal {kind.name} update`'
        if kind.named(self._store.tables, name) is not None:
            raise AlreadyExists(taken)
        file = file_changes.new_file(self._new_id(), request.spec, request.content, self._contents, self._now_ms())
        step = file_changes.creation(kind, file, request.content, self._contents)
        await name_records.commit_new(self._store, step, taken)
        return self._view(find_file(self._store.tables, kind, file.meta.id), with_content=False)

    async def update(self, request: UpdateFileRequest, caller: Caller) -> UpdateFileResponse:
        """A new version if the content differs, and a revision for each service that follows the file and is behind.

        It may be repeated: what an update that failed halfway has not done is done then.

        Raises:
            InvalidInput: with all faults. Conflict: services change faster than this can retry.
        """
        return await retried(lambda: self._update(request))

    async def get(self, request: GetFileRequest, caller: Caller) -> FileView:
        return self._view(find_file(self._store.tables, self._kind, request.file), with_content=self._readable)

    async def list(self, _: ListFilesRequest, caller: Caller) -> ListFilesResponse:
        view = self._store.tables
        users, versions = file_references.users(view, self._kind), _versions_by_file(view, self._kind)
        volumes = volume_users(view, self._kind)
        ordered = sorted(self._kind.files(view).values(), key=lambda file: file.spec.name)
        return ListFilesResponse(
            files=[_view(file, versions.get(file.meta.id, []), users, volumes) for file in ordered]
        )

    async def remove(self, request: RemoveFileRequest, caller: Caller) -> RemoveFileResponse:
        """Raises Refused while a service, or a volume for its driver, uses it."""
        identifier = find_file(
            self._store.tables, self._kind, request.file
        ).meta.id  # not another one that has the name by then
        return await retried(lambda: self._remove(identifier))

    async def _remove(self, identifier: str) -> RemoveFileResponse:
        view = self._store.tables
        file = find_file(view, self._kind, identifier)
        volumes = [f"volume {name}" for name in volume_users(view, self._kind).get(file.meta.id, ())]
        if users := [*file_references.users(view, self._kind).get(file.meta.id, ()), *volumes]:
            raise Refused(in_use(self._kind.name, file.spec.name, users))
        step = file_changes.removal(self._store, self._kind, file)
        await self._store.commit(step.writes, expects=step.expects)
        return RemoveFileResponse(id=file.meta.id)

    async def _update(self, request: UpdateFileRequest) -> UpdateFileResponse:
        view, kind, now_ms = self._store.tables, self._kind, self._now_ms()
        old = find_file(view, kind, request.file)
        content = request.content if request.HasField("content") else None
        spec = _relabelled(old.spec, request.labels_add, request.labels_remove)
        faults = list(check_labels("labels", spec.labels))
        if content is not None:
            faults += check_content("content", content, template=spec.template)
        if faults:
            raise InvalidInput(faults)
        new = file_changes.with_changes(old, spec, content, self._contents, now_ms)
        updates = list(file_changes.follower_updates(view, kind, new, now_ms)) if content is not None else []
        steps: list[WriteGroup] = []
        if new is not old:
            steps.append(file_changes.alteration(self._store, kind, old, new, content, self._contents))
        await commit_all(self._store, [*steps, *(step for _, step in updates)])
        stored = find_file(self._store.tables, kind, old.meta.id)
        names = sorted(service.spec.name for service, _ in updates)
        return UpdateFileResponse(file=self._view(stored, with_content=False), services=names)

    def _view(self, file: File, *, with_content: bool) -> FileView:
        view = self._store.tables
        versions = _versions_by_file(view, self._kind).get(file.meta.id, [])
        shown = _view(file, versions, file_references.users(view, self._kind), volume_users(view, self._kind))
        newest = self._kind.versions(view).get(f"{file.meta.id}/{file.version}")
        if with_content and newest is not None:
            shown.content = self._contents.decode(file, newest)
        return shown


def _relabelled(spec: FileSpec, add: Mapping[str, str], remove: Sequence[str]) -> FileSpec:
    copy = FileSpec()
    copy.CopyFrom(spec)
    for name in remove:
        copy.labels.pop(name, None)
    copy.labels.update(add)
    return copy


def _versions_by_file(view: View, kind: FileKind) -> dict[str, list[FileVersion]]:
    found: dict[str, list[FileVersion]] = {}
    for version in kind.versions(view).values():
        found.setdefault(version.file_id, []).append(version)
    return found


def _view(
    file: File,
    versions: Sequence[FileVersion],
    users: Mapping[str, Sequence[str]],
    volumes: Mapping[str, Sequence[str]],
) -> FileView:
    """Without content and key."""
    ordered = sorted(versions, key=lambda each: (each.version == file.version, each.created_at_ms), reverse=True)
    return FileView(
        meta=file.meta,
        spec=file.spec,
        version=file.version,
        services=users.get(file.meta.id, ()),
        volumes=volumes.get(file.meta.id, ()),
        versions=[
            FileVersionView(
                version=each.version,
                size_bytes=each.size_bytes,
                created_at_ms=each.created_at_ms,
                services=users.get(f"{file.meta.id}/{each.version}", ()),
            )
            for each in ordered
        ],
    )
