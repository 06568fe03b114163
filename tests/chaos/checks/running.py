"""Invariant 3, by the kernels: at no moment do containers of two tasks that exclude each other run. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from tests.chaos.checks.key_history import ROOT, TASKS, KeyEvent
from tests.chaos.violation import Violation

_REVISIONS = f"{ROOT}revisions/"


@dataclass(frozen=True)
class RunningSample:
    """Which containers ran at a moment.

    Attributes:
        at: seconds since the Unix epoch.
        containers: ids of tasks, by hostname.
    """

    at: float
    containers: Mapping[str, frozenset[str]]


def check_running(samples: Iterable[RunningSample], events: Iterable[KeyEvent]) -> Iterator[Violation]:
    """Exclusive volumes that two containers had at once, and tasks that ran on two hosts.

    Args:
        events: since the cluster's beginning.
    """
    volumes = _exclusive_volumes(events)
    found: set[str] = set()
    for sample in samples:
        for text in _conflicts(sample, volumes):
            if text not in found:
                found.add(text)
                yield Violation(3, text, sample.at)


def _conflicts(sample: RunningSample, volumes: Mapping[str, list[str]]) -> Iterator[str]:
    hosts: dict[str, list[str]] = defaultdict(list)
    users: dict[str, list[str]] = defaultdict(list)
    for host, containers in sorted(sample.containers.items()):
        for task in sorted(containers):
            hosts[task].append(host)
            for volume in volumes.get(task, ()):
                users[volume].append(f"{task} on {host}")
    for task, places in hosts.items():
        if len(places) > 1:
            yield f"task {task} runs on {' and '.join(places)}"
    for volume, tasks in users.items():
        if len(tasks) > 1:
            yield f"{volume} is used by {' and '.join(tasks)}"


def _exclusive_volumes(events: Iterable[KeyEvent]) -> dict[str, list[str]]:
    """Volumes that a task has alone, by the task's id."""
    revisions: dict[tuple[str, int], list[str]] = {}
    tasks: dict[str, Task] = {}
    for event in events:
        if event.value is None:
            continue
        if event.key.startswith(_REVISIONS):
            revision = ServiceRevision.FromString(event.value)
            mounts = revision.spec.task.container.mounts
            exclusive = [each for each in mounts if each.type == Mount.VOLUME and not (each.read_only or each.shared)]
            revisions[revision.service_id, revision.number] = [each.source for each in exclusive]
        elif event.key.startswith(TASKS):
            task = Task.FromString(event.value)
            tasks[task.id] = task
    return {
        each.id: [
            f"volume {volume} of slot {each.slot}" for volume in revisions.get((each.service_id, each.revision), ())
        ]
        for each in tasks.values()
    }
