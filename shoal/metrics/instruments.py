"""Counters and histograms of a process, which cost a dictionary's entry where nobody reads them.

They are of the module that counts, and of the process, as Prometheus' client libraries have it. Its own objects are
made of them at each scrape (`exposition`), so that a program that nobody scrapes never loads the library.
"""

from bisect import bisect_left

from shoal.metrics.families import BucketCounts, Labels, MetricFamily, MetricType

MAX_SERIES = 1000
"""Of one instrument. Labels are of closed sets; this bounds what a mistake would cost."""
OTHER = "other"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_instruments: "dict[str, Counter | Histogram]" = {}


class Counter:
    """Counts events, by labels.

    Args:
        name: without `_total`, with which it is exposed.
        text: one line, for whoever reads the metric.
        label_names: their values must come from closed sets.
    """

    def __init__(self, name: str, text: str, label_names: tuple[str, ...] = ()) -> None:
        self._name, self._text, self._label_names = name, text, label_names
        self._values: dict[Labels, float] = {} if label_names else {(): 0}
        _instruments[name] = self

    def add(self, *labels: str, by: float = 1) -> None:
        """Count one event, or `by` units."""
        values = self._values
        key = labels if labels in values or len(values) < MAX_SERIES else (OTHER,) * len(labels)
        values[key] = values.get(key, 0) + by

    def value(self, *labels: str) -> float:
        """What was counted."""
        return self._values.get(labels, 0)

    def family(self) -> MetricFamily:
        """All series as they are now."""
        return MetricFamily(self._name, MetricType.COUNTER, self._text, self._label_names, dict(self._values))


class Histogram:
    """Observes durations, by labels.

    Args:
        name: ends with its unit, `_seconds`.
        bounds: upper bounds of the buckets, ascending.
    """

    def __init__(
        self, name: str, text: str, label_names: tuple[str, ...] = (), *, bounds: tuple[float, ...] = SECONDS
    ) -> None:
        self._name, self._text, self._label_names, self._bounds = name, text, label_names, bounds
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}
        _instruments[name] = self
        if not label_names:
            self._of(())

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one duration."""
        counts, total = self._of(labels)
        counts[bisect_left(self._bounds, seconds)] += 1
        total[0] += seconds

    def _of(self, labels: Labels) -> tuple[list[int], list[float]]:
        found = self._series.get(labels)
        if found is None:
            if len(self._series) >= MAX_SERIES:
                labels = (OTHER,) * len(labels)
            found = self._series.setdefault(labels, ([0] * (len(self._bounds) + 1), [0.0]))
        return found

    def family(self) -> MetricFamily:
        """All series as they are now."""
        distributions = {
            labels: BucketCounts(tuple(counts), total[0]) for labels, (counts, total) in self._series.items()
        }
        return MetricFamily(
            self._name,
            MetricType.HISTOGRAM,
            self._text,
            self._label_names,
            bounds=self._bounds,
            distributions=distributions,
        )


def instrument_families() -> list[MetricFamily]:
    """Of every instrument that a loaded module has."""
    return [each.family() for each in _instruments.values()]
