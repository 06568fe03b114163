"""Secrets and configs: create, update, show, remove. One class serves both nouns."""

import asyncio
from collections.abc import Mapping, Sequence

from manager.control_api import bounds, file_changes, file_uses
from manager.control_api.lookup import find_file
from manager.control_api.seams import NowMs, Records
from manager.control_api.text_rules import check_labels
from manager.control_api.transactions import Step, commit_all
from manager.control_api.validate_files import check_content, check_file
from manager.control_api.volume_secrets import volume_users
from manager.files.contents import Contents
from manager.files.nouns import FileNoun
from manager.store.tables import View
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
from shoal.errors import AlreadyExists, Conflict, InvalidInput, Refused
from shoal.ids import NewId

_ATTEMPTS = 5
"""An update that meets a change of a service begins again, so often at most."""
_PAUSE_SECONDS = 0.05
"""Before that: for the watch to bring what was in the way."""


class Files:
    """The calls of one noun.

    Args:
        contents: how contents are stored; shown only where `readable`.
    """

    def __init__(
        self, *, noun: FileNoun, contents: Contents, readable: bool, store: Records, now_ms: NowMs, new_id: NewId
    ) -> None:
        self._noun = noun
        self._contents = contents
        self._readable = readable
        self._store = store
        self._now_ms = now_ms
        self._new_id = new_id

    async def create(self, request: CreateFileRequest) -> FileView:
        """Raises InvalidInput with all faults, AlreadyExists when the name is taken."""
        faults = list(check_file(request.spec, request.content))
        if faults:
            raise InvalidInput(faults)
        noun, name = self._noun, request.spec.name
        taken = f'a {noun.name} "{name}" exists already; `shoal {noun.name} update` makes a new version of it'
        if noun.named(self._store.tables, name) is not None:
            raise AlreadyExists(taken)
        file = file_changes.made(self._new_id(), request.spec, request.content, self._contents, self._now_ms())
        step = file_changes.creation(noun, file, request.content, self._contents)
        try:
            await self._store.commit(step.writes, expects=step.expects)
        except Conflict as conflict:  # another manager was faster
            raise AlreadyExists(taken) from conflict
        return self._view(find_file(self._store.tables, noun, file.meta.id), with_content=False)

    async def update(self, request: UpdateFileRequest) -> UpdateFileResponse:
        """A new version where the content differs, and a revision for each service that follows and is behind.

        It may be repeated: what an update that failed half way had not done is done then.

        Raises:
            InvalidInput: with all faults. Conflict: services change faster than this can follow.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._update(request)
            except Conflict:
                await asyncio.sleep(_PAUSE_SECONDS)
        return await self._update(request)

    async def get(self, request: GetFileRequest) -> FileView:
        return self._view(find_file(self._store.tables, self._noun, request.file), with_content=self._readable)

    async def list(self, _: ListFilesRequest) -> ListFilesResponse:
        view = self._store.tables
        users, versions = file_uses.users(view, self._noun), _versions_by_file(view, self._noun)
        volumes = volume_users(view, self._noun)
        ordered = sorted(self._noun.files(view).values(), key=lambda file: file.spec.name)
        return ListFilesResponse(
            files=[_view(file, versions.get(file.meta.id, []), users, volumes) for file in ordered]
        )

    async def remove(self, request: RemoveFileRequest) -> RemoveFileResponse:
        """Raises Refused while a service, or a volume for its driver, uses it."""
        view = self._store.tables
        file = find_file(view, self._noun, request.file)
        volumes = [f"volume {name}" for name in volume_users(view, self._noun).get(file.meta.id, ())]
        if users := [*file_uses.users(view, self._noun).get(file.meta.id, ()), *volumes]:
            raise Refused(in_use(self._noun, file, users))
        step = file_changes.removal(self._store, self._noun, file)
        await self._store.commit(step.writes, expects=step.expects)
        return RemoveFileResponse(id=file.meta.id)

    async def _update(self, request: UpdateFileRequest) -> UpdateFileResponse:
        view, noun, now_ms = self._store.tables, self._noun, self._now_ms()
        old = find_file(view, noun, request.file)
        content = request.content if request.HasField("content") else None
        spec = _relabelled(old.spec, request.labels_add, request.labels_remove)
        faults = list(check_labels("labels", spec.labels))
        if content is not None:
            faults += check_content("content", content)
        if faults:
            raise InvalidInput(faults)
        new = file_changes.changed(old, spec, content, self._contents, now_ms)
        rolled = list(file_changes.rolling(view, noun, new, now_ms)) if content is not None else []
        steps: list[Step] = []
        if new is not old:
            steps.append(file_changes.alteration(self._store, noun, old, new, content, self._contents))
        await commit_all(self._store, [*steps, *(step for _, step in rolled)])
        stored = find_file(self._store.tables, noun, old.meta.id)
        names = sorted(service.spec.name for service, _ in rolled)
        return UpdateFileResponse(file=self._view(stored, with_content=False), services=names)

    def _view(self, file: File, *, with_content: bool) -> FileView:
        view = self._store.tables
        versions = _versions_by_file(view, self._noun).get(file.meta.id, [])
        shown = _view(file, versions, file_uses.users(view, self._noun), volume_users(view, self._noun))
        newest = self._noun.versions(view).get(f"{file.meta.id}/{file.version}")
        if with_content and newest is not None:
            shown.content = self._contents.opened(file, newest)
        return shown


def in_use(noun: FileNoun, file: File, users: Sequence[str]) -> str:
    """Why a file cannot be removed."""
    named, more = ", ".join(users[: bounds.NAMED]), ", …" if len(users) > bounds.NAMED else ""
    return f'{noun.name} "{file.spec.name}" is in use by {named}{more}; remove or change them first'


def _relabelled(spec: FileSpec, add: Mapping[str, str], remove: Sequence[str]) -> FileSpec:
    copy = FileSpec()
    copy.CopyFrom(spec)
    for name in remove:
        copy.labels.pop(name, None)
    copy.labels.update(add)
    return copy


def _versions_by_file(view: View, noun: FileNoun) -> dict[str, list[FileVersion]]:
    found: dict[str, list[FileVersion]] = {}
    for version in noun.versions(view).values():
        found.setdefault(version.file_id, []).append(version)
    return found


def _view(
    file: File,
    versions: Sequence[FileVersion],
    users: Mapping[str, Sequence[str]],
    volumes: Mapping[str, Sequence[str]],
) -> FileView:
    """Never with content or key."""
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
