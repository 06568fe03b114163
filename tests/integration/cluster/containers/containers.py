"""Containers of one's own, and images, as tests of this folder use them."""

from pathlib import Path
from typing import Any

from cli.playground.layout import PlaygroundHost
from tests.integration.cluster.conftest import IMAGES
from tests.integration.cluster.harness import Cluster

IMAGE = "hello:1"
"""A name of the cluster's, once `load_image` has made it."""
SLEEP = ("sleep", "1000")


def load_image(cluster: Cluster) -> None:
    """Give the cluster the example image under its name."""
    cluster.quick("load", "--quiet", "--input", str(IMAGES / "hello-1.tar"))


def run(cluster: Cluster, *options: str, program: tuple[str, ...] = SLEEP, image: str = IMAGE) -> str:
    """Run a container in the background; its id, 64 digits."""
    return cluster.quick("run", "--detach", *options, image, *program).strip()


def script(*lines: str) -> tuple[str, ...]:
    """A program of the shell."""
    return ("sh", "-c", "\n".join(lines))


def inspect(cluster: Cluster, name: str) -> dict[str, Any]:
    """A container whole: its id and state as Docker has them, its record, its newest run."""
    (document,) = cluster.json("container", "inspect", name)
    found: dict[str, Any] = document
    return found


def state(cluster: Cluster, name: str) -> str:
    """Docker's word for its state."""
    word: str = inspect(cluster, name)["state"]
    return word


def node_of(cluster: Cluster, name: str) -> str:
    """Hostname of the node where it is."""
    hostname: str = inspect(cluster, name)["node_hostname"]
    return hostname


def names(cluster: Cluster, *filters: str) -> set[str]:
    """Names of all containers that pass the filters ("status=exited")."""
    words = [word for each in filters for word in ("--filter", each)]
    return set(cluster.quick("ps", "--all", "--format", "{{.Names}}", *words).split())


def kept(host: PlaygroundHost) -> list[Path]:
    """Directories of kept containers on a host's disk."""
    return sorted((host.state / "runtime" / "containers").glob("*/*"))
