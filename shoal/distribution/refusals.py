"""Errors of a registry: from HTTP status and error body to `ShoalError`. Pure.

OCI distribution-spec, "Error Codes": `{"errors": [{"code": …, "message": …}]}`.
"""

from shoal.distribution.untrusted_json import parse_object
from shoal.errors import InvalidInput, NotFound, PermissionDenied, ShoalError, Unauthenticated, Unavailable

_MAX_TEXT_LENGTH = 200
_MAX_ERRORS = 10


def refusal(status: int, body: bytes, *, what: str, host: str) -> ShoalError:
    """The error for an answer that is not a success.

    Args:
        what: the thing asked for, as the user named it: a reference, or a blob of it.
    """
    said = _error_text(body)
    if status == 401:
        return Unauthenticated(
            f"registry {host} requires authentication for {what}{said}; "
            "set username and password_file in registries.toml"
        )
    if status == 403:
        return PermissionDenied(f"registry {host} denied access to {what}{said}; ask its owner for access")
    if status == 404:
        return NotFound(f"{what} not found in registry {host}; check the name and the tag")
    if status == 429 or status >= 500:
        return Unavailable(f"registry {host} returned status {status} for {what}{said}; try again later")
    return InvalidInput(f"registry {host} rejected the request for {what} with status {status}{said}")


def foreign_refusal(status: int, *, what: str, host: str, registry: str) -> ShoalError:
    """The error for a host that a registry leads to: its status alone. What it says may be a stranger's, from a
    service that never meant to speak to who reads this."""
    where = f"{host}, to which registry {registry} redirects for {what},"
    if status == 404:
        return NotFound(f"{where} does not have it; push the image again")
    if status == 401:
        return Unavailable(f"{where} requires authentication, which only the registry itself may; check the registry")
    return Unavailable(f"{where} returned status {status}; try again later")


def _error_text(body: bytes) -> str:
    try:
        errors = parse_object(body, "the answer").get("errors")
    except InvalidInput:
        return ""
    found = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    texts = [str(each.get("message") or each.get("code") or "") for each in found]
    text = " ".join("; ".join(filter(None, texts[:_MAX_ERRORS])).split())[:_MAX_TEXT_LENGTH]
    text = "".join(each if each.isprintable() else "?" for each in text)  # a cursor must not be moved by it
    return f": {text}" if text else ""
