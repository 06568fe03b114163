"""Counters and histograms, and the text that Prometheus reads of them."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shoal.metrics import instruments
from shoal.metrics.families import gauge, gauges
from shoal.metrics.instruments import MAX_SERIES, OTHER, Counter, Histogram, instrument_families
from shoal.monitoring.exposition import expose


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instruments of modules that other tests have loaded do not count here."""
    monkeypatch.setattr(instruments, "_instruments", {})


def _samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_counters_are_exposed_as_totals() -> None:
    calls = Counter("calls", "Calls.", ("method", "code"))
    calls.add("Get", "OK")
    calls.add("Get", "OK", by=2)
    calls.add("Put", "INTERNAL")
    Counter("starts", "Starts.")
    found = _samples(expose(instrument_families()))
    assert found["calls_total"] == {("OK", "Get"): 3, ("INTERNAL", "Put"): 1}, "by the names of labels in order"
    assert found["starts_total"] == {(): 0}, "without labels it is there before the first event"


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    took = Histogram("took_seconds", "Durations.", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 30):
        took.observe(seconds)
    found = _samples(expose(instrument_families()))
    assert found["took_seconds_bucket"] == {("0.1",): 2, ("1.0",): 3, ("+Inf",): 4}
    assert found["took_seconds_count"] == {(): 4}
    assert found["took_seconds_sum"] == {(): pytest.approx(30.65)}


def test_labels_have_a_bound_whoever_invents_them() -> None:
    names = Counter("names", "By name.", ("name",))
    for number in range(MAX_SERIES + 50):
        names.add(f"n{number}")
    took = Histogram("took_seconds", "Durations.", ("name",))
    for number in range(MAX_SERIES + 50):
        took.observe(1, f"n{number}")
    counted, durations = instrument_families()
    assert len(counted.values) == MAX_SERIES + 1
    assert counted.values[(OTHER,)] == 50
    assert len(durations.distributions) == MAX_SERIES + 1


def test_gauges_and_what_every_process_has() -> None:
    found = _samples(expose([gauge("one", "One.", 1), gauges("tasks", "Tasks.", "state", {"running": 3, "new": 0})]))
    assert found["one"] == {(): 1}
    assert found["tasks"] == {("running",): 3, ("new",): 0}
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "python_info"):
        assert name in found


def test_labels_with_hostile_characters_stay_one_line() -> None:
    text = expose([gauges("tasks", "Tasks.", "state", {'a"\n# TYPE evil counter\nevil 1': 1})])
    assert b"\nevil" not in text
