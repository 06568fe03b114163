"""What all objects of the swarm side have in common. Pure."""

from typing import Any

from engine.protocol.go_times import time_text
from shoal.api.v1.meta_pb2 import Meta

NS = 1_000_000
"""Nanoseconds of a millisecond."""


def meta_document(meta: Meta) -> dict[str, Any]:
    """Id, version and times."""
    return {
        "ID": meta.id,
        "Version": {"Index": meta.version},
        "CreatedAt": time_text(meta.created_at_ms),
        "UpdatedAt": time_text(meta.updated_at_ms or meta.created_at_ms),
    }
