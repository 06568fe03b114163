"""What runs while the faults happen: ten services and two containers of one's own."""

import tempfile
from pathlib import Path

from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.web_image import write_web_image

HELLO = "registry:5000/hello:1"
WEB = "registry:5000/web:1"
MESH_PORT = 8090
NODE_PORT = 9100
BY_NAME = "api"
"""The service that clients find by its name."""

_QUICK = ("--restart-delay", "1s", "--stop-grace-period", "2s")
_SLEEP = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done")

SERVICES: tuple[tuple[str, ...], ...] = (
    # Updated by the writer, one task after the other, without a lost request.
    (
        *("web", "--replicas", "3", "--network", "front", "--publish", f"{MESH_PORT}:80"),
        *("--update-order", "start-first", "--update-failure-action", "continue", WEB),
    ),
    ("api", "--replicas", "3", "--network", "front", WEB),
    ("scaled", "--replicas", "2", HELLO),
    ("job", "--mode", "replicated-job", "--replicas", "3", HELLO, "sleep", "1"),
    ("cron", "--mode", "replicated-job", "--schedule", "* * * * *", HELLO, "sleep", "2"),
    ("everywhere", "--mode", "global", HELLO),
    ("writing", "--replicas", "1", "--mount", "type=volume,source=data,target=/data", HELLO, *_SLEEP),
    ("secretive", "--replicas", "2", "--secret", "password", HELLO, *_SLEEP),
    ("stopping", "--replicas", "2", "--stop-on-disconnect", "3s", HELLO, *_SLEEP),
    ("keeping", "--replicas", "2", "--publish", f"mode=host,published={NODE_PORT},target=80", HELLO),
)
CONTAINERS: tuple[tuple[str, ...], ...] = (
    ("own-1", "--restart", "always", HELLO),
    ("own-2", "--restart", "unless-stopped", "--network", "front", HELLO),
)


def push_images(cluster: Cluster, images: Path) -> None:
    """The images of all services, into the registry."""
    cluster.shoal("image", "push", "--quiet", str(images / "hello-1.tar"), HELLO)
    with tempfile.TemporaryDirectory() as directory:
        archive = write_web_image(Path(directory))
        cluster.shoal("image", "push", "--quiet", str(archive), WEB)


def create_all(cluster: Cluster) -> None:
    """Create them, and wait until what is to run does."""
    cluster.shoal("network", "create", "--attachable", "front")
    secret = cluster.run("secret", "create", "password", "-", text="secret")
    assert not secret.returncode, secret.stderr
    for name, *options in SERVICES:
        cluster.shoal("service", "create", "--detach", "--name", name, *_QUICK, *options)
    for name, *options in CONTAINERS:
        cluster.shoal("run", "--detach", "--name", name, *options)
