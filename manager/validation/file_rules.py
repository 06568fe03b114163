"""Validation of secrets, configs and the references to them. Pure: yields every fault."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from manager.file_contents.file_kinds import FILE_KINDS, FileKind
from manager.validation import bounds
from manager.validation.text_rules import check_absolute, check_labels, check_object_name, check_range
from shoal import spec_templates
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import FileReference, FileSpec
from shoal.errors import Fault

_MAX_ID = 2**32 - 2  # 2**32 - 1 means "no change" to chown(2)


def check_file(spec: FileSpec, content: bytes) -> Iterator[Fault]:
    """Every fault of a new secret or config."""
    # A stack may have a file under a name of the user's own choice (Compose `name`).
    yield from check_object_name("name", spec.name, spec.stack if spec.name.startswith(f"{spec.stack}_") else "")
    yield from check_labels("labels", spec.labels)
    yield from check_content("content", content, template=spec.template)


def check_content(path: str, content: bytes, *, template: bool) -> Iterator[Fault]:
    """The size, and what a template may have; the content itself is never part of a message."""
    if not content:
        yield Fault(path, "must not be empty")
    elif len(content) > bounds.FILE_BYTES:
        yield Fault(path, f"is too large: {len(content):,} bytes; the maximum is {bounds.FILE_BYTES:,}")
    elif template:
        yield from _check_template(path, content)


def _check_template(path: str, content: bytes) -> Iterator[Fault]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield Fault(path, "is a template, so it must be text in UTF-8")
        return
    if spec_templates.template_fault(text):
        known = ", ".join(spec_templates.NAMES)
        yield Fault(path, f"is a template with an unknown or unclosed placeholder; available: {known} and labels")


def check_references(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    """References of a container, except whether the files exist."""
    for kind in FILE_KINDS:
        references = kind.references(spec)
        if len(references) > bounds.FILE_REFERENCES:
            yield Fault(
                f"{path}.{kind.name}s", f"has {len(references)} entries; the maximum is {bounds.FILE_REFERENCES}"
            )
            continue
        for index, reference in enumerate(references):
            yield from _check_reference(f"{path}.{kind.name}s[{index}]", reference)
    yield from _check_targets(path, spec)


def _check_reference(path: str, reference: FileReference) -> Iterator[Fault]:
    if not reference.source:
        yield Fault(f"{path}.source", "is required: a name or ID")
    if reference.target:
        yield from check_absolute(f"{path}.target", f"/{reference.target.lstrip('/')}")
        if not PurePosixPath(reference.target).name:
            yield Fault(f"{path}.target", f'"{reference.target[:80]}" must be the path of a file')
    yield from check_range(f"{path}.uid", reference.uid, 0, _MAX_ID)
    yield from check_range(f"{path}.gid", reference.gid, 0, _MAX_ID)
    yield from check_range(f"{path}.mode", reference.mode, 0, 0o777)
    if reference.policy not in FileReference.Policy.values():
        yield Fault(f"{path}.policy", "must be one of follow, pin")


def _check_targets(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    seen = {_clean(mount.target) for mount in spec.mounts}
    for kind in FILE_KINDS:
        for index, reference in enumerate(kind.references(spec)):
            target = target_of(kind, reference, reference.name or reference.source)
            if target in seen:
                yield Fault(f"{path}.{kind.name}s[{index}].target", f'"{target[:80]}" is mounted twice')
            seen.add(target)


def target_of(kind: FileKind, reference: FileReference, name: str) -> str:
    """Where a file of this name is mounted: the target, below the kind's directory unless it is absolute."""
    return _clean(str(PurePosixPath(kind.directory) / (reference.target or name)))


def _clean(path: str) -> str:
    return str(PurePosixPath(path))
