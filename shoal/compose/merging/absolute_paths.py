"""Make the relative paths of an included or extended file absolute."""

from os.path import normpath
from pathlib import Path
from typing import Any

from shoal.compose.reading.yaml_tree import YamlList, YamlMap
from shoal.spec_parsers.builds.build_inputs import is_remote


def make_paths_absolute(tree: YamlMap, directory: Path) -> YamlMap:
    """The file's services, secrets and configs with every path of the host beginning at `directory`."""
    for section in ("services", "secrets", "configs"):
        entries = tree.get(section)
        if isinstance(entries, YamlMap):
            for name, body in entries.items():
                if isinstance(body, YamlMap):
                    change = make_service_paths_absolute if section == "services" else _anchor_file
                    entries = entries.with_item(name, change(body, directory))
            tree = tree.with_item(section, entries)
    return tree


def make_service_paths_absolute(body: YamlMap, directory: Path) -> YamlMap:
    """The same for one service."""
    for key in ("env_file", "label_file"):
        if key in body:
            body = body.with_item(key, _each(body[key], directory, "path"))
    if "build" in body:
        body = body.with_item("build", _build(body["build"], directory))
    if isinstance(body.get("volumes"), YamlList):
        volumes = body["volumes"]
        items = [_mount(item, directory) for item in volumes]
        body = body.with_item("volumes", YamlList(items, volumes.locations, volumes.location))
    return body


def _build(build: Any, directory: Path) -> Any:
    """Contexts; a Dockerfile's path begins at its context."""
    if isinstance(build, str):
        return build if is_remote(build) else _absolute(build, directory)
    if not isinstance(build, YamlMap):
        return build
    context = build.get("context", ".")
    if isinstance(context, str) and not is_remote(context):
        build = build.with_item("context", _absolute(context, directory))
    more = build.get("additional_contexts")
    if isinstance(more, YamlMap):
        for name, source in more.items():
            if isinstance(source, str) and not is_remote(source) and ":" not in source:
                more = more.with_item(name, _absolute(source, directory))
        build = build.with_item("additional_contexts", more)
    return build


def _anchor_file(body: YamlMap, directory: Path) -> YamlMap:
    return body.with_item("file", _absolute(body["file"], directory)) if isinstance(body.get("file"), str) else body


def _each(value: Any, directory: Path, key: str) -> Any:
    if isinstance(value, YamlList):
        return YamlList([_each(item, directory, key) for item in value], value.locations, value.location)
    if isinstance(value, YamlMap) and key in value:
        return value.with_item(key, _absolute(value[key], directory))
    return _absolute(value, directory)


def _mount(item: Any, directory: Path) -> Any:
    if isinstance(item, YamlMap):
        is_bind = item.get("type") == "bind" and "source" in item
        return item.with_item("source", _absolute(item["source"], directory)) if is_bind else item
    if isinstance(item, str) and item.startswith("."):
        source, sign, rest = item.partition(":")
        return f"{_absolute(source, directory)}{sign}{rest}"
    return item


def absolute_path(path: Path, directory: Path) -> str:
    """A path of the host as it is written, from the directory on: symbolic links are resolved on the node."""
    return normpath(directory / path)


def _absolute(value: Any, directory: Path) -> Any:
    return (
        absolute_path(Path(value), directory) if isinstance(value, str) and not value.startswith(("~", "/")) else value
    )
