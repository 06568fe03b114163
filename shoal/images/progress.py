"""Progress of an image's blobs as values, for bars of a terminal and for streams of an API."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from shoal.distribution.manifests import Descriptor


class LayerState(Enum):
    """What happens to a layer."""

    WAITING = "waiting"
    COMPRESSING = "compressing"
    TRANSFERRING = "transferring"
    EXISTS = "exists"
    """The repository had it already, or could mount it: nothing was transferred."""
    DONE = "done"


@dataclass(frozen=True)
class LayerProgress:
    """One step of one blob.

    Attributes:
        digest: of the blob as the manifest names it.
        done_bytes: of `total_bytes`.
    """

    digest: str
    state: LayerState
    done_bytes: int = 0
    total_bytes: int = 0


Progress = Callable[[LayerProgress], None]
"""Called in the event loop, often: whoever shows it decides how often."""


def report_blob(progress: Progress, blob: Descriptor, state: LayerState, done_bytes: int) -> None:
    """Report a step of a blob that is a layer; people do not count configurations, which are JSON."""
    if not blob.media_type.endswith("+json"):
        progress(LayerProgress(blob.digest, state, done_bytes, blob.size))
