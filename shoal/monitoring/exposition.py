"""Renders metrics as Prometheus reads them. Loads its client library: import this where a scrape is answered."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from shoal.metrics.families import BucketCounts, MetricFamily, MetricType

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def expose(families: Sequence[MetricFamily]) -> bytes:
    """The text of these, and of process_* and python_info."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(_Families(families))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: Sequence[MetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return map(_metric, self._families)


def _metric(family: MetricFamily) -> Metric:
    names = family.label_names
    if family.kind is MetricType.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.text, labels=names)
        for labels, distribution in family.distributions.items():
            histogram.add_metric(labels, list(_buckets(family.bounds, distribution)), distribution.total)
        return histogram
    metric: CounterMetricFamily | GaugeMetricFamily
    if family.kind is MetricType.COUNTER:
        metric = CounterMetricFamily(family.name, family.text, labels=names)
    else:
        metric = GaugeMetricFamily(family.name, family.text, labels=names)
    for labels, value in family.values.items():
        metric.add_metric(labels, value)
    return metric


def _buckets(bounds: tuple[float, ...], distribution: BucketCounts) -> Iterator[tuple[str, float]]:
    names = (*map(str, bounds), "+Inf")
    return zip(names, accumulate(distribution.counts), strict=True)
