"""Progress of a pull, as a line for the user."""

from collections.abc import Callable
from dataclasses import dataclass

from shoal.metrics.instruments import Counter

_EVERY_SECONDS = 0.5
_BYTES = Counter("shoal_agent_pulled_bytes", "Compressed bytes of images that were downloaded.")


@dataclass(frozen=True)
class PullState:
    """Layers and compressed bytes of one pull."""

    layers: int
    layers_done: int
    bytes_total: int
    bytes_done: int


def progress_line(state: PullState) -> str:
    """`pulling 3 of 5 layers, 12.1 of 40.0 MB`."""
    if state.layers_done == state.layers:
        return f"pulled {state.layers} of {state.layers} layers, {state.bytes_total / 1e6:.1f} MB"
    if state.bytes_done >= state.bytes_total:
        return f"unpacking {state.layers_done + 1} of {state.layers} layers"
    done, total = state.bytes_done / 1e6, state.bytes_total / 1e6
    return f"pulling {state.layers_done + 1} of {state.layers} layers, {done:.1f} of {total:.1f} MB"


class PullProgress:
    """Adds up the progress of all layers and reports it at a limited rate."""

    def __init__(self, sizes: list[int], report: Callable[[str], None], *, clock: Callable[[], float]) -> None:
        self._total = sum(sizes)
        self._layers = len(sizes)
        self._done = self._layers_done = 0
        self._report = report
        self._clock = clock
        self._next = clock()

    def add_bytes(self, count: int) -> None:
        """Count downloaded bytes; negative if some have to be downloaded again."""
        self._done += count
        if count > 0:
            _BYTES.add(by=count)
        if self._clock() >= self._next:
            self._emit()

    def layer_done(self) -> None:
        """Count one more unpacked layer."""
        self._layers_done += 1
        self._emit()

    def _emit(self) -> None:
        self._next = self._clock() + _EVERY_SECONDS
        self._report(progress_line(PullState(self._layers, self._layers_done, self._total, self._done)))
