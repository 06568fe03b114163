"""What to try next in a playground, as its cluster is: no command that would fail. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

EXAMPLE_PORT = 8080
EXAMPLE_IMAGE = "hello"


@dataclass(frozen=True)
class Found:
    """How a playground is now.

    Attributes:
        name: of the playground, and of its context.
        hosts: how many.
        host: address of one of them.
        is_current: whether its context is the current one.
        has_shoal: whether `shoal` is on the PATH; else it is in `programs`.
        images: repositories of its registry.
        services, networks: by name.
        ports: published on every host.
    """

    name: str
    hosts: int
    host: str
    is_current: bool
    has_shoal: bool
    programs: str
    images: Collection[str]
    services: Collection[str]
    networks: Collection[str]
    ports: Collection[int]


def hints(found: Found) -> str:
    """The text."""
    path = "" if found.has_shoal else f'Put `shoal` on the PATH:\n\n    export PATH="{found.programs}:$PATH"\n\n'
    lines = "\n".join(f"    {line}" for line in _commands(found))
    hosts = "1 host" if found.hosts == 1 else f"{found.hosts} hosts"
    return f"\nA cluster of {hosts} is up. {path}Try:\n\n{lines}\n"


def _commands(found: Found) -> list[str]:
    own_name = "" if found.name == "shoal" else f" --name {found.name}"
    lines = [] if found.is_current else [f"shoal context use {found.name}"]
    lines += ["shoal node ls"]
    if EXAMPLE_IMAGE in found.images:
        lines += _with_images(found)
    else:
        lines += ["shoal image push IMAGE.tar registry:5000/NAME:TAG", "shoal image inspect registry:5000/NAME:TAG"]
    if EXAMPLE_PORT in found.ports:
        lines.append(f"curl http://{found.host}:{EXAMPLE_PORT}          # the example service, on any host")
    lines.append(f"shoal playground down{own_name}          # nothing is left")
    return lines


def _with_images(found: Found) -> list[str]:
    made = []
    if "web" not in found.services:
        if "front" not in found.networks:
            made.append("shoal network create front")
        made.append(
            "shoal service create --name web --replicas 3 --network front --publish mode=host,target=80 "
            f"registry:5000/{EXAMPLE_IMAGE}:1"
        )
    return [
        *made,
        "shoal service scale web=30",
        "shoal service ps web",
        "shoal service logs -f web",
        f"shoal service update --image registry:5000/{EXAMPLE_IMAGE}:2 web",
    ]
