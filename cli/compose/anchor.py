"""Relative paths of a file that lies elsewhere than the main one, as absolute ones."""

from os.path import normpath
from pathlib import Path
from typing import Any

from cli.compose.tree import Map, Seq


def anchor(tree: Map, directory: Path) -> Map:
    """The file's services, secrets and configs with every path of the host beginning at `directory`."""
    for section in ("services", "secrets", "configs"):
        entries = tree.get(section)
        if isinstance(entries, Map):
            for name, body in entries.items():
                if isinstance(body, Map):
                    change = anchor_service if section == "services" else _anchor_file
                    entries = entries.having(name, change(body, directory))
            tree = tree.having(section, entries)
    return tree


def anchor_service(body: Map, directory: Path) -> Map:
    """One service so."""
    for key in ("env_file", "label_file"):
        if key in body:
            body = body.having(key, _each(body[key], directory, "path"))
    if isinstance(body.get("volumes"), Seq):
        volumes = body["volumes"]
        items = [_mount(item, directory) for item in volumes]
        body = body.having("volumes", Seq(items, volumes.places, volumes.place))
    return body


def _anchor_file(body: Map, directory: Path) -> Map:
    return body.having("file", _absolute(body["file"], directory)) if isinstance(body.get("file"), str) else body


def _each(value: Any, directory: Path, key: str) -> Any:
    if isinstance(value, Seq):
        return Seq([_each(item, directory, key) for item in value], value.places, value.place)
    if isinstance(value, Map) and key in value:
        return value.having(key, _absolute(value[key], directory))
    return _absolute(value, directory)


def _mount(item: Any, directory: Path) -> Any:
    if isinstance(item, Map):
        is_bind = item.get("type") == "bind" and "source" in item
        return item.having("source", _absolute(item["source"], directory)) if is_bind else item
    if isinstance(item, str) and item.startswith("."):
        source, sign, rest = item.partition(":")
        return f"{_absolute(source, directory)}{sign}{rest}"
    return item


def absolute(path: str, directory: Path) -> str:
    """A path of the host as it is written, from the directory on: where a node's links lead is the node's to know."""
    return normpath(directory / Path(path).expanduser())


def _absolute(value: Any, directory: Path) -> Any:
    return absolute(value, directory) if isinstance(value, str) and not value.startswith(("~", "/")) else value
