"""References from volumes to secrets for their drivers. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from manager.file_contents.file_kinds import SECRETS, FileKind
from manager.records.object_lookup import SubmittedFiles, find_file
from manager.store.changes import PRESENT, Expect, Write, expect, put
from manager.store.kinds import NAME, SECRET
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.errors import Fault, ShoalError


def resolve(spec: VolumeSpec, view: View, submitted: SubmittedFiles) -> Iterator[Fault]:
    """Complete the spec with ID and name of each secret, ordered by key.

    Args:
        submitted: secrets as the request creates or changes them, by "secret/<name>".
    """
    for each in spec.secrets:
        try:
            file = submitted.get(f"{SECRETS.name}/{each.source}") or find_file(view, SECRETS, each.source)
        except ShoalError as error:
            yield Fault(f"secrets.{each.key}", str(error))
        else:
            each.source, each.name = file.meta.id, file.spec.name
    spec.secrets.sort(key=lambda each: each.key)


def touch(view: View, spec: VolumeSpec, submitted: SubmittedFiles) -> tuple[list[Write], list[Expect]]:
    """Touch the name records of secrets that a new volume refers to, so that a removal that has not seen it fails."""
    named = {each.source: each.name for each in spec.secrets}
    own = {file.meta.id for file in submitted.values() if view.secrets.get(file.meta.id) is not file}
    there = {identifier: name for identifier, name in named.items() if identifier not in own}
    writes = [put(NAME, f"{SECRETS.name}/{name}", Name(meta=Meta(id=each))) for each, name in there.items()]
    return writes, [expect(SECRET, identifier, PRESENT) for identifier in there]


def volume_users(view: View, kind: FileKind) -> Mapping[str, Sequence[str]]:
    """Names of the volumes that refer to each secret, by its ID; none for configs."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    if kind.name == SECRETS.name:
        for volume in view.volumes.values():
            for each in volume.spec.secrets:
                found[each.source].add(volume.spec.name)
    return {identifier: sorted(names) for identifier, names in found.items()}
