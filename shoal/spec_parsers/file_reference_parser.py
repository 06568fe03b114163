"""Parse references to secrets and configs."""

from collections.abc import Mapping

from shoal.api.v1.file_pb2 import FileReference
from shoal.errors import InvalidInput

UPDATE_POLICIES = {"follow": FileReference.FOLLOW, "pin": FileReference.PIN}
_KEYS = ("source", "target", "uid", "gid", "mode", "policy", "version")
_OTHER_NAMES = {"src": "source", "dst": "target", "destination": "target"}


def parse_reference(text: str) -> FileReference:
    """A reference: "db_password", or "source=db_password,target=/etc/pw,uid=70,gid=70,mode=0400,policy=pin".

    Raises:
        InvalidInput: an unknown key, a bad number, or no source.
    """
    if "=" not in text:
        return from_fields({"source": text})
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, sign, value = part.partition("=")
        key = _OTHER_NAMES.get(key, key)
        if key not in _KEYS or not sign:
            raise InvalidInput(f"{part!r} must be in the form KEY=VALUE; allowed keys are {', '.join(_KEYS)}")
        fields[key] = value
    return from_fields(fields)


def from_fields(fields: Mapping[str, str]) -> FileReference:
    """A reference of the fields of `FileReference`, as text. A version that is named is kept: it means pin."""
    if not fields.get("source"):
        raise InvalidInput("source is missing")
    policy = fields.get("policy", "pin" if fields.get("version") else "")
    if policy and policy not in UPDATE_POLICIES:
        raise InvalidInput(f"policy {policy!r} must be one of {', '.join(UPDATE_POLICIES)}")
    reference = FileReference(
        source=fields["source"],
        target=fields.get("target", ""),
        version=fields.get("version", ""),
        uid=_number("uid", fields.get("uid", "0"), 10),
        gid=_number("gid", fields.get("gid", "0"), 10),
        policy=UPDATE_POLICIES.get(policy, FileReference.POLICY_UNSPECIFIED),
    )
    if "mode" in fields:
        reference.mode = _number("mode", fields["mode"].lower().removeprefix("0o"), 8)
    return reference


def _number(key: str, text: str, base: int) -> int:
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if not 0 <= value < 2**32:
        kind = "an octal number such as 0440" if base == 8 else "a numeric ID"
        raise InvalidInput(f"{key} {text!r} must be {kind}")
    return value
