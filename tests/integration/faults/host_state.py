"""What an agent has on a host, so that a test finds what a crash has left: nothing may be there that was not before."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cli.playground.layout import PlaygroundHost

_CGROUPS = Path("/sys/fs/cgroup")
_VOLATILE = ("handle", "metainfo", "counter", "expires")
"""Of nftables' objects: what differs from one listing to the next."""
_PLACES = ("runtime", "volumes", "attached", "images/temporary", "images/partial")
_MADE_AT_FIRST_USE = ("builds", ".removed", ".incoming")
"""Directories that stay, as do those of one character: groups of logs and of upper directories."""
_DEPTH = 3
"""Of the directories that are compared; below is what containers and images have written."""


def host_state(host: PlaygroundHost, node_id: str) -> dict[str, list[str]]:
    """Links, routes, neighbours, rules, mounts, cgroups, processes and files of a host, a list of texts each."""
    return {
        "links": sorted(row["ifname"] for row in _ip(host, "link", "show") if row["ifname"].startswith("sh-")),
        "routes": sorted(_texts(_ip(host, "route", "show", "table", "all"))),
        "rules": sorted(_rules(host)),
        "mounts": sorted(_mounts(host)),
        "cgroups": sorted(_cgroups(node_id)),
        "processes": sorted(_processes(host)),
        "files": sorted(_files(host)),
    }


def surplus(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is there now and was not before, or the other way round ("-"), by kind."""
    found = {}
    for kind in before:
        more, less = list(after[kind]), list(before[kind])
        for each in before[kind]:
            if each in more:
                more.remove(each)
                less.remove(each)
        if more or less:
            found[kind] = [*more, *(f"-{each}" for each in less)]
    return found


def _ip(host: PlaygroundHost, *words: str) -> list[dict[str, Any]]:
    command = ["ip", "-n", host.namespace, "-j", *words]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout or b"[]")
    return found


def _texts(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Blackhole routes of ended tasks stay for a while, on purpose; those of spare links come and go."""
    for row in rows:
        if row.get("type") != "blackhole" and not str(row.get("dev", "")).startswith("shp-"):
            yield " ".join(f"{key}={value}" for key, value in sorted(row.items()) if key not in ("flags", "metrics"))


def _rules(host: PlaygroundHost) -> Iterator[str]:
    command = ["nsenter", f"--net=/run/netns/{host.namespace}", "nft", "-j", "list", "ruleset"]
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    for entry in document["nftables"]:
        for kind, content in entry.items():
            if kind in ("set", "map") and "timeout" not in content.get("flags", ()):
                if (name := content["name"]).startswith("resolver_"):
                    continue  # the ports of this process's resolver
                yield from (f"element of {name}: {json.dumps(_stable(each))}" for each in content.get("elem", ()))
            elif kind in ("chain", "rule"):
                yield f"{kind}: {json.dumps(_stable(content), sort_keys=True)}"


def _stable(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _stable(value) for key, value in content.items() if key not in _VOLATILE}
    return [_stable(each) for each in content] if isinstance(content, list) else content


def _mounts(host: PlaygroundHost) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if place.startswith((f"{host.state}/", f"{host.run}")) and place != f"{host.state}/attached":
            yield place


def _cgroups(node_id: str) -> set[str]:
    """Names of tasks, in whatever hierarchy."""
    found = set()
    for directory in (*_CGROUPS.glob(f"shoal/{node_id}"), *_CGROUPS.glob(f"*/shoal/{node_id}")):
        with suppress(FileNotFoundError):  # it goes with its last one
            found |= {path.name for path in directory.iterdir() if path.is_dir()}
    return found


def _processes(host: PlaygroundHost) -> Iterator[str]:
    """conmon and OCI runtimes of the host's containers, and programs of the agent, by their names."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            name = Path(words[0]).name
            if name in ("conmon", "crun", "runc") and any(str(host.run) in each for each in words):
                yield name


def _files(host: PlaygroundHost) -> Iterator[str]:
    for place in (host.run, *(host.state / each for each in _PLACES)):
        yield from _below(place, _DEPTH)


def _below(place: Path, depth: int) -> Iterator[str]:
    try:
        entries = list(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in entries:
        if len(path.name) > 1 and path.name not in _MADE_AT_FIRST_USE:
            yield str(path)
        if depth > 1 and path.is_dir() and not path.is_symlink():
            yield from _below(path, depth - 1)
