"""What makes secrets, configs and the references to them valid. Pure: yields every fault."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from manager.control_api import bounds
from manager.control_api.text_rules import check_absolute, check_labels, check_object_name, check_range
from manager.files.nouns import NOUNS, FileNoun
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import FileReference, FileSpec
from shoal.errors import Fault

_ID_MOST = 2**32 - 2  # 2**32 - 1 means "no change" to chown(2)


def check_file(spec: FileSpec, content: bytes) -> Iterator[Fault]:
    """Every fault of a new secret or config."""
    # A stack may have a file under a name of the user's own choice (Compose `name`).
    yield from check_object_name("name", spec.name, spec.stack if spec.name.startswith(f"{spec.stack}_") else "")
    yield from check_labels("labels", spec.labels)
    yield from check_content("content", content)


def check_content(path: str, content: bytes) -> Iterator[Fault]:
    """Size; the content itself is never told."""
    if not content:
        yield Fault(path, "is empty")
    elif len(content) > bounds.FILE_BYTES:
        yield Fault(path, f"is {len(content):,} bytes; at most {bounds.FILE_BYTES:,} are allowed")


def check_references(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    """References of a container, but whether what they name is there."""
    for noun in NOUNS:
        references = noun.references(spec)
        if len(references) > bounds.FILE_REFERENCES:
            yield Fault(f"{path}.{noun.name}s", f"has {len(references)}; at most {bounds.FILE_REFERENCES} are allowed")
            continue
        for index, reference in enumerate(references):
            yield from _check_reference(f"{path}.{noun.name}s[{index}]", reference)
    yield from _check_targets(path, spec)


def _check_reference(path: str, reference: FileReference) -> Iterator[Fault]:
    if not reference.source:
        yield Fault(f"{path}.source", "a name or id is needed")
    if reference.target:
        yield from check_absolute(f"{path}.target", f"/{reference.target.lstrip('/')}")
        if not PurePosixPath(reference.target).name:
            yield Fault(f"{path}.target", f'"{reference.target[:80]}" must name a file')
    yield from check_range(f"{path}.uid", reference.uid, 0, _ID_MOST)
    yield from check_range(f"{path}.gid", reference.gid, 0, _ID_MOST)
    yield from check_range(f"{path}.mode", reference.mode, 0, 0o777)
    if reference.policy not in FileReference.Policy.values():
        yield Fault(f"{path}.policy", "must be follow or pin")


def _check_targets(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    seen = {_clean(mount.target) for mount in spec.mounts}
    for noun in NOUNS:
        for index, reference in enumerate(noun.references(spec)):
            target = target_of(noun, reference, reference.name or reference.source)
            if target in seen:
                yield Fault(f"{path}.{noun.name}s[{index}].target", f'"{target[:80]}" is mounted twice')
            seen.add(target)


def target_of(noun: FileNoun, reference: FileReference, name: str) -> str:
    """Where a file of this name is mounted: the target, below the noun's directory where it is not absolute."""
    return _clean(str(PurePosixPath(noun.directory) / (reference.target or name)))


def _clean(path: str) -> str:
    return str(PurePosixPath(path))
