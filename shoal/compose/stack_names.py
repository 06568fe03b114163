"""The names of a stack's resources: in its files, and in the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal.compose.reading.scalar_values import parse_bool
from shoal.errors import InvalidInput


@dataclass(frozen=True)
class StackNames:
    """`<stack>_<name>` in the cluster, `<name>` in the files. Nothing else puts a stack's name before another one.

    Attributes:
        stack: its name.
    """

    stack: str

    def full(self, name: str) -> str:
        """ "shop_web" of "web"."""
        return f"{self.stack}_{name}"

    def resource(self, name: str, body: Mapping[str, Any]) -> str:
        """The name of a network, volume, secret or config: its own `name`, else the full one unless it is external.

        Args:
            name: its key in the file.
            body: what the file says of it.
        """
        if own := body.get("name") or legacy_name(body):
            return str(own)
        return name if is_external(body) else self.full(name)

    def key_of(self, entries: Mapping[Any, Any], name: str) -> str | None:
        """The key that a section of the file has for a name of the cluster; None if it has none."""
        bodies = ((str(key), body if isinstance(body, Mapping) else {}) for key, body in entries.items())
        return next((key for key, body in bodies if self.resource(key, body) == name), None)


def is_external(body: Mapping[str, Any]) -> bool:
    """Whether the file only refers to it. A mapping, `external: {name: …}`, is the older way to say yes."""
    value = body.get("external")
    if isinstance(value, Mapping):
        return True
    try:
        return value is not None and parse_bool(value)
    except InvalidInput:  # see `external_faults`
        return True


def legacy_name(body: Mapping[str, Any]) -> Any:
    """The name in `external: {name: …}`; None elsewhere."""
    value = body.get("external")
    return value.get("name") if isinstance(value, Mapping) else None
