"""`--secret` and `--config`: add references to files, and remove them."""

from collections.abc import Callable, MutableSequence

from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.file_reference_parser import parse_reference

References = Callable[[ServiceSpec], MutableSequence[FileReference]]


def adding(references: References) -> Callable[[ServiceSpec, str], None]:
    """Adds a reference; replaces one of the same file at the same place."""

    def add(spec: ServiceSpec, text: str) -> None:
        new = parse_reference(text)
        present = references(spec)
        for each in [each for each in present if _refers_to(each, new.source) and each.target == new.target]:
            present.remove(each)
        present.append(new)

    return add


def removing(references: References) -> Callable[[ServiceSpec, str], None]:
    """Removes every reference to a file, by its name or id."""

    def remove(spec: ServiceSpec, text: str) -> None:
        present = references(spec)
        going = [each for each in present if _refers_to(each, text)]
        if not going:
            raise InvalidInput(f"the service does not use {text!r}")
        for each in going:
            present.remove(each)

    return remove


def _refers_to(reference: FileReference, text: str) -> bool:
    return text in (reference.source, reference.name)
