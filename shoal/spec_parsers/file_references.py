"""Parse `--secret` and `--config` to file references."""

from collections.abc import Callable, Mapping, MutableSequence

from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

UPDATE_POLICIES = {"follow": FileReference.FOLLOW, "pin": FileReference.PIN}
_KEYS = ("source", "target", "uid", "gid", "mode", "policy", "version")
_OTHER_NAMES = {"src": "source", "dst": "target", "destination": "target"}

References = Callable[[ServiceSpec], MutableSequence[FileReference]]


def parse_reference(flag: str, text: str) -> FileReference:
    """A reference: "db_password", or "source=db_password,target=/etc/pw,uid=70,gid=70,mode=0400,policy=pin".

    Raises:
        InvalidInput: an unknown key, a bad number, or no source.
    """
    if "=" not in text:
        return from_fields(flag, {"source": text})
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, sign, value = part.partition("=")
        key = _OTHER_NAMES.get(key, key)
        if key not in _KEYS or not sign:
            raise InvalidInput(f"{flag}: {part!r} must be in the form KEY=VALUE; allowed keys are {', '.join(_KEYS)}")
        fields[key] = value
    return from_fields(flag, fields)


def from_fields(where: str, fields: Mapping[str, str]) -> FileReference:
    """A reference of the fields of `FileReference`, as text. A version that is named is kept: it means pin."""
    if not fields.get("source"):
        raise InvalidInput(f"{where}: source is missing")
    policy = fields.get("policy", "pin" if fields.get("version") else "")
    if policy and policy not in UPDATE_POLICIES:
        raise InvalidInput(f"{where}: policy {policy!r} must be one of {', '.join(UPDATE_POLICIES)}")
    reference = FileReference(
        source=fields["source"],
        target=fields.get("target", ""),
        version=fields.get("version", ""),
        uid=_number(where, "uid", fields.get("uid", "0"), 10),
        gid=_number(where, "gid", fields.get("gid", "0"), 10),
        policy=UPDATE_POLICIES.get(policy, FileReference.POLICY_UNSPECIFIED),
    )
    if "mode" in fields:
        reference.mode = _number(where, "mode", fields["mode"].lower().removeprefix("0o"), 8)
    return reference


def _number(where: str, key: str, text: str, base: int) -> int:
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if not 0 <= value < 2**32:
        kind = "an octal number such as 0440" if base == 8 else "a numeric ID"
        raise InvalidInput(f"{where}: {key} {text!r} must be {kind}")
    return value


def adding(flag: str, references: References) -> Callable[[ServiceSpec, str], None]:
    """Adds a reference; replaces one of the same file at the same place."""

    def add(spec: ServiceSpec, text: str) -> None:
        new = parse_reference(flag, text)
        present = references(spec)
        for each in [each for each in present if _refers_to(each, new.source) and each.target == new.target]:
            present.remove(each)
        present.append(new)

    return add


def removing(flag: str, references: References) -> Callable[[ServiceSpec, str], None]:
    """Removes every reference to a file, by its name or id."""

    def remove(spec: ServiceSpec, text: str) -> None:
        present = references(spec)
        going = [each for each in present if _refers_to(each, text)]
        if not going:
            raise InvalidInput(f"{flag}-rm: the service does not use {text!r}")
        for each in going:
            present.remove(each)

    return remove


def _refers_to(reference: FileReference, text: str) -> bool:
    return text in (reference.source, reference.name)
