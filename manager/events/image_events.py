"""Events of images, with Docker's names and attributes, derived from their records and locks. Pure.

What changes no record has none: a push, a save.
"""

from collections.abc import Iterator

from google.protobuf.message import Message

from manager.images.image_locks import removed_id
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.meta_pb2 import Name
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.image_config import parse_config
from shoal.errors import InvalidInput
from shoal.image_reference import parse


def events_of(old: Message | None, new: Message | None, at_ms: int) -> Iterator[Event]:
    """The events of one change of a record or a lock."""
    if isinstance(new, Name):
        was_removed = isinstance(old, Name) and removed_id(old)
        if (image_id := removed_id(new)) and not was_removed:
            event = Event(type="image", action="delete", id=image_id, name=image_id, at_ms=at_ms)
            event.attributes["name"] = image_id
            yield event
    elif isinstance(new, Image) and new.name:
        yield _event(new, "pull" if new.source.startswith(f"{new.name}@") else "tag", at_ms)
    elif isinstance(old, Image) and old.name and not isinstance(new, Image):
        yield _event(old, "untag", at_ms)


def _event(image: Image, action: str, at_ms: int) -> Event:
    variant = next(iter(image.variants), None)
    name = parse(image.name).familiar
    image_id = variant.config_digest if variant is not None else image.digest
    event = Event(type="image", action=action, id=image_id, name=name, at_ms=at_ms)
    event.attributes.update({**(_labels(variant.config) if variant is not None else {}), "name": name})
    return event


def _labels(config: bytes) -> dict[str, str]:
    try:
        labels = parse_config(config).settings.get("Labels")
    except InvalidInput:
        return {}
    return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}
