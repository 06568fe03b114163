"""Programs that grow are found, also where none of their processes lives for long."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from tests.chaos.checks.memory import ETCD, WARM_UP_SECONDS, MemorySample, check_memory, memory_growth

MIB = 1 << 20


def lifetime(name: str, pid: int, seconds: int, mib: Callable[[int], float], begun: int = 0) -> Iterator[MemorySample]:
    """A process that is read each 5 s; `mib`: by the seconds since its start."""
    for after in range(0, seconds, 5):
        yield MemorySample(begun + after, name, pid, int(mib(after) * MIB))


def warming(after: int) -> float:
    return 20 + min(after, WARM_UP_SECONDS)


def found(samples: Iterator[MemorySample]) -> list[str]:
    return [each.what for each in check_memory(memory_growth(samples))]


def test_a_warm_up_is_no_growth() -> None:
    assert found(lifetime("m1", 1, 3600, warming)) == []


def test_a_process_that_grows_is_found() -> None:
    assert found(lifetime("m1", 1, 3600, lambda after: 80 + after / 60)) == ["m1 grew from 81 to 139 MiB"]


def test_a_leak_is_found_though_each_process_lives_for_minutes() -> None:
    def lifetimes() -> Iterator[MemorySample]:
        for number in range(6):
            yield from lifetime("m1", number, 300, lambda after: warming(after) + after / 60, begun=300 * number)

    (text,) = found(lifetimes())
    assert text.startswith("m1 grows by 60 MiB an hour, from 81 MiB: the median of 6 processes")


def test_a_manager_grows_with_the_changes_that_it_remembers() -> None:
    samples = list(lifetime("m1", 1, 1500, lambda after: 80 + after / 90))
    assert [each.what for each in check_memory(memory_growth(samples), changes_an_hour=20_000)] == []
    assert len(list(check_memory(memory_growth(samples), changes_an_hour=5_000))) == 1
    agent = [replace(each, name="h1") for each in samples]
    assert len(list(check_memory(memory_growth(agent), changes_an_hour=20_000))) == 1


def test_a_step_is_no_leak() -> None:
    def lifetimes() -> Iterator[MemorySample]:
        for number in range(6):
            yield from lifetime("m1", number, 300, lambda after: warming(after) + 8 * (after > 150), begun=300 * number)

    assert found(lifetimes()) == []
    (growth,) = memory_growth(lifetimes())
    assert (growth.grown_bytes, growth.steady_bytes) == (48 * MIB, 0)


def test_a_process_that_ends_early_says_nothing() -> None:
    assert memory_growth(lifetime("m1", 1, 110, lambda after: after)) == []


def test_what_more_agents_take_is_no_growth() -> None:
    few = lifetime("m1", 1, 600, warming)
    many = (replace(each, load=1) for each in lifetime("m1", 1, 600, lambda after: 80 + min(after, 50), begun=600))
    assert found(chain(few, many)) == []
    leaking = (replace(each, load=1) for each in lifetime("m1", 1, 600, lambda after: 130 + after / 10, begun=600))
    assert found(chain(leaking)) == ["m1 grew from 137 to 188 MiB"]


def test_an_etcd_is_warm_once_its_history_is_full() -> None:
    def growing(after: int) -> float:
        return 60 + after / 60

    assert memory_growth(lifetime(f"{ETCD}m1", 1, 600, growing)) == []
    assert found(lifetime(f"{ETCD}m1", 1, 3600, growing)) == ["etcd of m1 grew from 70 to 119 MiB"]


def test_what_a_process_gives_back_is_no_growth() -> None:
    (growth,) = memory_growth(lifetime("h1", 1, 600, lambda after: 100 - after / 60))
    assert growth.grown_bytes < 0
