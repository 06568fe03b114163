"""The table of routes: which handler serves a method and a path, with and without a version in the path."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

from engine.server.call import Call

Handler: TypeAlias = Callable[[Call], Awaitable[web.StreamResponse]]

_VERSIONED = re.compile(r"/v([0-9.]+)(/.*)")
_PARAMETER = re.compile(r"\{(\w+)(:\.\*)?\}")


@dataclass(frozen=True)
class Route:
    """One operation.

    Attributes:
        template: of the path, without a version: `/containers/{id}/json`; `{name:.*}` takes slashes too.
        operation: its name in the API's description, "ContainerInspect".
        hijacks: the handler takes the connection over: nothing is read from it before.
        remark: how far it works; empty: whole. Shown in the table of operations.
    """

    method: str
    template: str
    handler: Handler
    operation: str
    hijacks: bool = False
    remark: str = ""


class RouteTable:
    """Finds routes by method and path. The first one that fits serves."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: Sequence[Route] = tuple(routes)
        self._by_head: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in self.routes:
            self._by_head.setdefault((route.method, _head(route.template)), []).append(
                (_pattern(route.template), route)
            )

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route and its parameters; None where there is none.

        Args:
            path: decoded, without a version.
        """
        for pattern, route in self._by_head.get((method, _head(path)), ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return route, match.groupdict()
        return None


def split_version(path: str) -> tuple[str, str]:
    """The version in a path, without the `v`, and the rest of it; an empty version where there is none."""
    match = _VERSIONED.fullmatch(path)
    return (match[1], match[2]) if match is not None else ("", path)


def _head(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else path


def _pattern(template: str) -> re.Pattern[str]:
    pieces, at = [], 0
    for match in _PARAMETER.finditer(template):
        pieces += [re.escape(template[at : match.start()]), f"(?P<{match[1]}>{'.+' if match[2] else '[^/]+'})"]
        at = match.end()
    return re.compile("".join(pieces) + re.escape(template[at:]), re.DOTALL)
