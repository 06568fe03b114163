"""Where a kept root file system comes from: what managers knew when it was made, or when they last confirmed it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RootOrigin:
    """Of the root file system of one container.

    Attributes:
        epoch: id of the cluster's epoch that knows the container (`shoal.api.v1.Epoch`); empty: none is known to.
        revision: of the store, at which it knew the container.
        name: the container's, when it was created; empty: unknown.
        image: reference of the image below it, with its digest; empty: unknown.
        created_at_ms: milliseconds since the Unix epoch; 0: unknown.
    """

    epoch: str = ""
    revision: int = 0
    name: str = ""
    image: str = ""
    created_at_ms: int = 0


UNKNOWN_ORIGIN = RootOrigin()
"""Of a root file system whose record is damaged."""
