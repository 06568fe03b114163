"""Apply profiles: remove services that are not enabled, and check that no enabled service depends on one."""

from collections.abc import Collection, Iterator
from typing import Any

from shoal.compose.faults import FaultReporter
from shoal.compose.reading.yaml_tree import YamlMap


def apply_profiles(tree: YamlMap, profiles: Collection[str], report: FaultReporter) -> YamlMap:
    """The model without the services whose profiles are not enabled; "*" enables all."""
    services = tree.get("services")
    if not isinstance(services, YamlMap):
        return tree
    off = {name for name, body in services.items() if not _is_enabled(body, profiles)}
    kept = services.without(*off)
    for name, body in kept.items():
        for key, other, required in _references(body):
            if other in off and required:
                listed = ", ".join(services[other]["profiles"])
                message = f"service {other!r} is not enabled; enable one of its profiles: {listed}"
                report.add(("services", name, key), message)
            elif other in off:
                kept = kept.with_item(name, _without(kept[name], key, other))
    return tree.with_item(
        "services",
        YamlMap({name: _without_profiles(body) for name, body in kept.items()}, kept.locations, kept.location),
    )


def _is_enabled(body: Any, profiles: Collection[str]) -> bool:
    own = body.get("profiles") if isinstance(body, YamlMap) else None
    return not own or not isinstance(own, list) or "*" in profiles or any(profile in profiles for profile in own)


def _without_profiles(body: Any) -> Any:
    return body.without("profiles") if isinstance(body, YamlMap) else body


def _references(body: Any) -> Iterator[tuple[str, str, bool]]:
    """Key, other service, and whether it is required."""
    if not isinstance(body, YamlMap):
        return
    waits = body.get("depends_on")
    for name in waits if isinstance(waits, dict | list) else ():
        settings = waits[name] if isinstance(waits, dict) else None
        required = settings.get("required", True) if isinstance(settings, dict) else True
        yield "depends_on", str(name), str(required).lower() != "false"
    links = body.get("links")
    for link in links if isinstance(links, list) else ():
        yield "links", str(link).partition(":")[0], True


def _without(body: YamlMap, key: str, other: str) -> YamlMap:
    return body.with_item(key, body[key].without(other)) if isinstance(body[key], YamlMap) else body
