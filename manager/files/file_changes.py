"""Writes that create, update and remove secrets and configs. Pure, given the keys of the codec."""

from collections.abc import Iterator

from manager.file_contents.content_codec import ContentCodec
from manager.file_contents.file_kinds import FileKind
from manager.planner.spec.effective_spec import spec_in_force
from manager.records import name_records
from manager.records.write_groups import WriteGroup
from manager.services import file_references, service_handler, service_revisions
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import NAME
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.file_pb2 import File, FileSpec, FileVersion
from shoal.api.v1.service_pb2 import Service


def new_file(identifier: str, spec: FileSpec, content: bytes, contents: ContentCodec, now_ms: int) -> File:
    """A new file, at the version of the content."""
    file = File(spec=spec, encrypted_data_key=contents.new_data_key(identifier))
    file.meta.id = identifier
    file.meta.created_at_ms = file.meta.updated_at_ms = now_ms
    file.version = contents.version_of(file, content)
    return file


def with_changes(file: File, spec: FileSpec, content: bytes | None, contents: ContentCodec, now_ms: int) -> File:
    """The file with another spec and content; None keeps the content. Returns the same object when nothing differs."""
    version = file.version if content is None else contents.version_of(file, content)
    if version == file.version and spec == file.spec:
        return file
    copy = File()
    copy.CopyFrom(file)
    copy.spec.CopyFrom(spec)
    copy.version = version
    copy.meta.updated_at_ms = now_ms
    return copy


def creation(kind: FileKind, file: File, content: bytes, contents: ContentCodec) -> WriteGroup:
    """Writes and conditions of a new file."""
    name, free = name_records.claim(kind.name, file.spec.name, file.meta.id)
    absent = expect(kind.record_kind, file.meta.id, ABSENT)
    return WriteGroup(
        [put(kind.record_kind, file.meta.id, file), _version(kind, file, content, contents), name], [free, absent]
    )


def alteration(
    store: RecordStore, kind: FileKind, old: File, new: File, content: bytes | None, contents: ContentCodec
) -> WriteGroup:
    """Writes and conditions of a changed file; `content` is that of its newest version, None if unchanged."""
    writes = [put(kind.record_kind, new.meta.id, new)]
    if content is not None and f"{new.meta.id}/{new.version}" not in kind.versions(store.tables):
        writes.append(_version(kind, new, content, contents))
    return WriteGroup(writes, unchanged_since(store, kind, old))


def follower_updates(view: View, kind: FileKind, file: File, now_ms: int) -> Iterator[tuple[Service, WriteGroup]]:
    """A new revision for each service that follows the file."""
    for service, spec in file_references.followers(view, kind, file):
        following = service_revisions.with_spec(service, spec, now_ms, base=spec_in_force(view, service))
        if following is not None:
            yield service, _without_own_condition(kind, file, service_handler.alteration(view, service, following))


def removal(store: RecordStore, kind: FileKind, file: File) -> WriteGroup:
    """Deletes the file with all its versions, if no service started using it meanwhile."""
    prefix = f"{file.meta.id}/"
    versions = [key for key in kind.versions(store.tables) if key.startswith(prefix)]
    writes: list[Write] = [delete(kind.record_kind, file.meta.id), name_records.release(kind.name, file.spec.name)]
    return WriteGroup(
        [*writes, *(delete(kind.version_record_kind, key) for key in versions)], unchanged_since(store, kind, file)
    )


def unused_versions(store: RecordStore, kind: FileKind) -> Iterator[WriteGroup]:
    """Deletes versions that nothing refers to any more, if no service started using the file meanwhile."""
    view = store.tables
    newest = {f"{file.meta.id}/{file.version}" for file in kind.files(view).values()}
    older = [key for key in kind.versions(view) if key not in newest]
    named = file_references.referenced_versions(view, kind) if older else frozenset()
    for key in [key for key in older if key not in named]:
        file = kind.files(view).get(key.partition("/")[0])
        yield WriteGroup(
            [delete(kind.version_record_kind, key)], unchanged_since(store, kind, file) if file is not None else []
        )


def unchanged_since(store: RecordStore, kind: FileKind, file: File) -> list[Expect]:
    """Conditions: the file has not changed, and no service started using it, since it was read."""
    name = f"{kind.name}/{file.spec.name}"
    return [
        expect(kind.record_kind, file.meta.id, file.meta.version),
        expect(NAME, name, store.version_of(NAME, name)),
    ]


def _without_own_condition(kind: FileKind, file: File, alteration: tuple[list[Write], list[Expect]]) -> WriteGroup:
    """Without the condition on the file itself, which the same transaction changes."""
    writes, expects = alteration
    return WriteGroup(
        writes, [each for each in expects if (each.kind, each.identifier) != (kind.record_kind, file.meta.id)]
    )


def _version(kind: FileKind, file: File, content: bytes, contents: ContentCodec) -> Write:
    record = FileVersion(
        file_id=file.meta.id,
        version=file.version,
        content=contents.encode(file, file.version, content),
        size_bytes=len(content),
        created_at_ms=file.meta.updated_at_ms,
    )
    return put(kind.version_record_kind, f"{file.meta.id}/{file.version}", record)
