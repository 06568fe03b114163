"""A metric with its series, as a program hands it to whoever renders it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Labels = tuple[str, ...]
"""Values of labels, in the order of their names."""


class MetricType(StrEnum):
    """Kinds of metrics, as Prometheus names them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class BucketCounts:
    """One series of a histogram.

    Attributes:
        counts: of each bucket by itself, not cumulative; the last one is +Inf's.
        total: the sum of all that was observed.
    """

    counts: Sequence[int]
    total: float


@dataclass(frozen=True)
class MetricFamily:
    """A metric and its series at one instant.

    Attributes:
        name: of a counter without `_total`.
        bounds: upper bounds of a histogram's buckets, without +Inf.
        values: of a counter or gauge, by labels. distributions: of a histogram.
    """

    name: str
    kind: MetricType
    text: str
    label_names: tuple[str, ...] = ()
    values: Mapping[Labels, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    distributions: Mapping[Labels, BucketCounts] = field(default_factory=dict)


def gauge(name: str, text: str, value: float | None) -> MetricFamily:
    """A gauge of one series without labels; None: the metric is exposed, without a series."""
    return MetricFamily(name, MetricType.GAUGE, text, values={} if value is None else {(): value})


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> MetricFamily:
    """A gauge with one label; `values` are by that label's value, of which there must be few."""
    return MetricFamily(name, MetricType.GAUGE, text, (label,), {(each,): value for each, value in values.items()})


def counter(name: str, text: str, value: float) -> MetricFamily:
    """A counter of one series without labels, named without `_total`."""
    return MetricFamily(name, MetricType.COUNTER, text, values={(): value})
