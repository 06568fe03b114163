"""What differs between two specs, as paths for a listing and as lines for a diff."""

from typing import Any

from google.protobuf.message import Message

from cli.render.structure import to_document


def changed_paths(old: Message, new: Message) -> list[str]:
    """Paths of fields whose values differ, "task.container.image", sorted. Lists are compared whole."""
    return sorted(_differences(to_document(old), to_document(new), ""))


def _differences(old: Any, new: Any, path: str) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys((*old, *new))
        return [found for key in keys for found in _differences(_of(old, new, key), new.get(key), _join(path, key))]
    return [path]


def _of(old: dict[str, Any], new: dict[str, Any], key: str) -> Any:
    # A part that is new as a whole is told by its fields.
    return old.get(key, {} if isinstance(new.get(key), dict) else None)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def lines_of(message: Message) -> list[str]:
    """The message as YAML lines."""
    import yaml

    text: str = yaml.safe_dump(to_document(message), sort_keys=False, allow_unicode=True)
    return text.splitlines()
