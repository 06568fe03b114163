"""What all objects of the swarm side have in common. Pure."""

from collections.abc import Mapping
from typing import Any

from engine.protocol.go_times import time_text
from engine.translate.networks import STACK_LABEL
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


def with_stack(labels: Mapping[str, str], stack: str) -> dict[str, str]:
    """Labels, with that of the stack that the object belongs to."""
    return {**labels, STACK_LABEL: stack} if stack and STACK_LABEL not in labels else dict(labels)
