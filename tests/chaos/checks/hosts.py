"""Invariant 6: hosts have exactly what should run. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shoal.api.v1.standalone_pb2 import Container
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from tests.chaos.checks.key_history import ROOT, STATUSES, TASKS
from tests.chaos.violation import Violation

_CONTAINERS = f"{ROOT}containers/"
LINK_NAME_CHARACTERS = 12
"""Of a task's id in its link's name, the last ones: names of interfaces end at 15 bytes."""

_OWN_TABLES = frozenset({"table inet shoal"})


@dataclass(frozen=True)
class HostFacts:
    """What is on a host; ids of tasks where nothing else is said.

    Attributes:
        links: the last characters of their ids.
        kept_files: ids of containers of one's own.
        tables: of nft, a line each.
        mounts: places below the agent's directories, without its own tmpfs.
    """

    host: str
    conmons: frozenset[str]
    cgroups: frozenset[str]
    bundles: frozenset[str]
    links: frozenset[str]
    root_files: frozenset[str]
    kept_files: frozenset[str]
    drafts: frozenset[str]
    tables: frozenset[str]
    mounts: frozenset[str]


def should_run(records: Mapping[str, bytes], node_id: str) -> frozenset[str]:
    """Ids of tasks that have a container on a node, by the records."""
    found = set()
    for key, value in records.items():
        if not key.startswith(TASKS):
            continue
        task = Task.FromString(value)
        stored = records.get(STATUSES + task.id)
        status = TaskStatus.FromString(stored) if stored is not None else TaskStatus()
        is_desired = task.desired_state == TaskState.RUNNING and task.state <= TaskState.RUNNING
        if task.node_id == node_id and is_desired and status.state == TaskState.RUNNING:
            found.add(task.id)
    return frozenset(found)


def check_host(facts: HostFacts, records: Mapping[str, bytes], node_id: str) -> Iterator[Violation]:
    """What is there and should not be, or is not there and should be, once all has converged."""
    expected = should_run(records, node_id)
    for what, found in (("conmon", facts.conmons), ("cgroup", facts.cgroups), ("bundle", facts.bundles)):
        yield from _compare(facts.host, what, expected, found)
    yield from _compare(facts.host, "link", frozenset(each[-LINK_NAME_CHARACTERS:] for each in expected), facts.links)
    known = frozenset(key.removeprefix(TASKS) for key in records if key.startswith(TASKS))
    yield from _left(facts.host, "root file system", facts.root_files - known)
    yield from _left(facts.host, "container's files", facts.kept_files - _containers(records))
    yield from _left(facts.host, "draft", facts.drafts)
    yield from _left(facts.host, "nft table", facts.tables - _OWN_TABLES)
    yield from _left(facts.host, "mount", facts.mounts)


def _containers(records: Mapping[str, bytes]) -> frozenset[str]:
    return frozenset(
        Container.FromString(value).meta.id for key, value in records.items() if key.startswith(_CONTAINERS)
    )


def _compare(host: str, what: str, expected: frozenset[str], found: frozenset[str]) -> Iterator[Violation]:
    yield from _left(host, what, found - expected)
    for each in sorted(expected - found):
        yield Violation(6, f"{host}: no {what} of task {each}, which runs by the records")


def _left(host: str, what: str, names: frozenset[str]) -> Iterator[Violation]:
    for each in sorted(names):
        yield Violation(6, f"{host}: {what} {each} is left")
