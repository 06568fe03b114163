"""What making, changing and removing a secret or config writes. Pure, given the contents' keys."""

from collections.abc import Iterator

from manager.control_api import file_uses, names, revisions, services
from manager.control_api.seams import Records
from manager.control_api.transactions import Step
from manager.files.contents import Contents
from manager.files.nouns import FileNoun
from manager.planner.effective import spec_in_force
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import NAME
from manager.store.tables import View
from shoal.api.v1.file_pb2 import File, FileSpec, FileVersion
from shoal.api.v1.service_pb2 import Service


def made(identifier: str, spec: FileSpec, content: bytes, contents: Contents, now_ms: int) -> File:
    """A new file at the version that the content is."""
    file = File(spec=spec, sealed_data_key=contents.new_data_key(identifier))
    file.meta.id = identifier
    file.meta.created_at_ms = file.meta.updated_at_ms = now_ms
    file.version = contents.version_of(file, content)
    return file


def changed(file: File, spec: FileSpec, content: bytes | None, contents: Contents, now_ms: int) -> File:
    """The file with another spec and content; None keeps the content. The very same object when nothing differs."""
    version = file.version if content is None else contents.version_of(file, content)
    if version == file.version and spec == file.spec:
        return file
    copy = File()
    copy.CopyFrom(file)
    copy.spec.CopyFrom(spec)
    copy.version = version
    copy.meta.updated_at_ms = now_ms
    return copy


def creation(noun: FileNoun, file: File, content: bytes, contents: Contents) -> Step:
    """Writes and conditions of a new file."""
    name, free = names.take(noun.name, file.spec.name, file.meta.id)
    absent = expect(noun.kind, file.meta.id, ABSENT)
    return Step([put(noun.kind, file.meta.id, file), _version(noun, file, content, contents), name], [free, absent])


def alteration(store: Records, noun: FileNoun, old: File, new: File, content: bytes | None, contents: Contents) -> Step:
    """Writes and conditions of a changed file; `content` is that of its newest version, None when it is the old one."""
    writes = [put(noun.kind, new.meta.id, new)]
    if content is not None and f"{new.meta.id}/{new.version}" not in noun.versions(store.tables):
        writes.append(_version(noun, new, content, contents))
    return Step(writes, unseen(store, noun, old))


def rolling(view: View, noun: FileNoun, file: File, now_ms: int) -> Iterator[tuple[Service, Step]]:
    """A revision at the newest version for each service that follows the file, by the services' own way of updating."""
    for service, spec in file_uses.followers(view, noun, file):
        following = revisions.following(service, spec, now_ms, base=spec_in_force(view, service))
        if following is not None:
            yield service, _without_touch(noun, file, services.alteration(view, service, following))


def removal(store: Records, noun: FileNoun, file: File) -> Step:
    """Deletes the file with all its versions, if no service came to use it meanwhile."""
    below = f"{file.meta.id}/"
    versions = [key for key in noun.versions(store.tables) if key.startswith(below)]
    writes: list[Write] = [delete(noun.kind, file.meta.id), names.give_up(noun.name, file.spec.name)]
    return Step([*writes, *(delete(noun.version_kind, key) for key in versions)], unseen(store, noun, file))


def collection(store: Records, noun: FileNoun) -> Iterator[Step]:
    """Deletes versions that nothing names any more, if no service came to use the file meanwhile."""
    view = store.tables
    newest = {f"{file.meta.id}/{file.version}" for file in noun.files(view).values()}
    older = [key for key in noun.versions(view) if key not in newest]
    named = file_uses.named_versions(view, noun) if older else frozenset()
    for key in [key for key in older if key not in named]:
        file = noun.files(view).get(key.partition("/")[0])
        yield Step([delete(noun.version_kind, key)], unseen(store, noun, file) if file is not None else [])


def unseen(store: Records, noun: FileNoun, file: File) -> list[Expect]:
    """The conditions that nobody changed the file, and that no service came to use it, since it was read."""
    name = f"{noun.name}/{file.spec.name}"
    return [
        expect(noun.kind, file.meta.id, file.meta.version),
        expect(NAME, name, store.version_of(NAME, name)),
    ]


def _without_touch(noun: FileNoun, file: File, alteration: tuple[list[Write], list[Expect]]) -> Step:
    """The file itself is changed in the same call: it is not to be found as it was."""
    writes, expects = alteration
    return Step(writes, [each for each in expects if (each.kind, each.identifier) != (noun.kind, file.meta.id)])


def _version(noun: FileNoun, file: File, content: bytes, contents: Contents) -> Write:
    record = FileVersion(
        file_id=file.meta.id,
        version=file.version,
        content=contents.closed(file, file.version, content),
        size_bytes=len(content),
        created_at_ms=file.meta.updated_at_ms,
    )
    return put(noun.version_kind, f"{file.meta.id}/{file.version}", record)
