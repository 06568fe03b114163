"""Which services a model has with some profiles enabled, and that none of them needs another one that it has not."""

from collections.abc import Collection, Iterator
from typing import Any

from cli.compose.faults import Report
from cli.compose.tree import Map


def chosen(tree: Map, profiles: Collection[str], report: Report) -> Map:
    """The model without the services whose profiles are not enabled; "*" enables all."""
    services = tree.get("services")
    if not isinstance(services, Map):
        return tree
    off = {name for name, body in services.items() if not _is_enabled(body, profiles)}
    kept = services.without(*off)
    for name, body in kept.items():
        for key, other, required in _references(body):
            if other in off and required:
                listed = ", ".join(services[other]["profiles"])
                message = f"service {other!r} is left out: none of its profiles ({listed}) is enabled"
                report.add(("services", name, key), message)
            elif other in off:
                kept = kept.having(name, _without(kept[name], key, other))
    return tree.having("services", Map({name: _bare(body) for name, body in kept.items()}, kept.places, kept.place))


def _is_enabled(body: Any, profiles: Collection[str]) -> bool:
    own = body.get("profiles") if isinstance(body, Map) else None
    return not own or not isinstance(own, list) or "*" in profiles or any(profile in profiles for profile in own)


def _bare(body: Any) -> Any:
    return body.without("profiles") if isinstance(body, Map) else body


def _references(body: Any) -> Iterator[tuple[str, str, bool]]:
    """Key, other service, and whether it has to be there."""
    if not isinstance(body, Map):
        return
    waits = body.get("depends_on")
    for name in waits if isinstance(waits, dict | list) else ():
        settings = waits[name] if isinstance(waits, dict) else None
        required = settings.get("required", True) if isinstance(settings, dict) else True
        yield "depends_on", str(name), str(required).lower() != "false"
    links = body.get("links")
    for link in links if isinstance(links, list) else ():
        yield "links", str(link).partition(":")[0], True


def _without(body: Map, key: str, other: str) -> Map:
    return body.having(key, body[key].without(other)) if isinstance(body[key], Map) else body
