"""Example commands for a playground in its current state. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

EXAMPLE_PORT = 8080
EXAMPLE_IMAGE = "hello"


@dataclass(frozen=True)
class PlaygroundState:
    """The current state of a playground.

    Attributes:
        name: of the playground, and of its context.
        hosts: how many.
        host: address of one of them.
        is_current: whether its context is the current one.
        has_shoal: whether `shoal` is on the PATH; else it is in `programs`.
        images: repositories of its registry.
        services, networks: by name.
        ports: published on every host.
        engine_socket: where Docker's clients reach the cluster; empty where no engine serves them.
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
    engine_socket: str = ""


def hints(state: PlaygroundState) -> str:
    """The text."""
    path = "" if state.has_shoal else f'Add `shoal` to your PATH:\n\n    export PATH="{state.programs}:$PATH"\n\n'
    lines = "\n".join(f"    {line}" for line in _commands(state))
    hosts = "1 host" if state.hosts == 1 else f"{state.hosts} hosts"
    return f"\nA cluster of {hosts} is running. {path}Try:\n\n{lines}\n"


def _commands(state: PlaygroundState) -> list[str]:
    own_name = "" if state.name == "shoal" else f" --name {state.name}"
    lines = [] if state.is_current else [f"shoal context use {state.name}"]
    lines += ["shoal node ls"]
    if EXAMPLE_IMAGE in state.images:
        lines += _with_images(state)
    else:
        lines += ["shoal image push IMAGE.tar registry:5000/NAME:TAG", "shoal image inspect registry:5000/NAME:TAG"]
    if EXAMPLE_PORT in state.ports:
        lines.append(f"curl http://{state.host}:{EXAMPLE_PORT}          # the example service, on any host")
    if state.engine_socket:
        lines.append(f"export DOCKER_HOST=unix://{state.engine_socket}          # then docker ps, docker compose up, …")
    lines.append("shoal console          # the web console, in a browser")
    lines.append(f"shoal playground down{own_name}          # removes everything")
    return lines


def _with_images(state: PlaygroundState) -> list[str]:
    made = []
    if "web" not in state.services:
        if "front" not in state.networks:
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
