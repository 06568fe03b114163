"""Images built on any of three hosts, with the network and the images of nodes; run on others, their cache shared."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.cluster.containers.containers import IMAGE, load_image, run, script
from tests.integration.cluster.harness import SHOAL, Cluster

DOCKERFILE = f"""\
FROM {IMAGE} AS base
RUN ["/bin/busybox", "sh", "-c", "head -c 8 /dev/urandom > /random; cat /etc/resolv.conf > /resolv; ip addr > /links"]
FROM base
COPY page /srv/page
CMD ["/bin/busybox", "cat", "/srv/page"]
"""


@pytest.fixture
def context(clean: Cluster, tmp_path: Path) -> Path:
    """A context, in a cluster that has the image below."""
    load_image(clean)
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "context/page").write_text("built\n")
    return tmp_path / "context"


def random_of(cluster: Cluster, image: str, node: str) -> str:
    return cluster.shoal("run", "--rm", "--node", node, image, "/bin/busybox", "od", "-An", "-tx1", "/random").strip()


def test_what_one_node_builds_all_nodes_run_and_find_in_their_cache(clean: Cluster, context: Path) -> None:
    clean.shoal("build", "--node", "h1", "--tag", "web:1", str(context))
    assert clean.shoal("run", "--rm", "--node", "h2", "web:1") == "built\n"
    links = clean.shoal("run", "--rm", "--node", "h3", "web:1", "/bin/busybox", "cat", "/resolv", "/links")
    assert "nameserver 169.254.1.1" in links and "inet 172." in links
    clean.until(lambda: "RUN" in clean.quick("build", "du", "--verbose"), "the cache to be listed")
    clean.shoal("build", "--node", "h2", "--tag", "web:2", str(context))
    assert random_of(clean, "web:2", "h1") == random_of(clean, "web:1", "h3"), "nothing was made again"
    clean.shoal("build", "--node", "h2", "--no-cache", "--tag", "web:3", str(context))
    assert random_of(clean, "web:3", "h1") != random_of(clean, "web:1", "h1")
    assert clean.shoal("build", "prune", "--all", "--force")


def test_a_cache_in_a_directory_of_who_builds(clean: Cluster, context: Path) -> None:
    cache = context.parent / "cache"
    clean.shoal("build", "--cache-to", f"type=local,dest={cache},mode=max", "--tag", "web:1", str(context))
    first = random_of(clean, "web:1", "h1")
    assert (cache / "index.json").exists()
    source = ["--cache-from", f"type=local,src={cache}", "--tag", "web:2"]
    assert "has no cache" not in clean.shoal("build", *source, str(context))
    assert random_of(clean, "web:2", "h1") == first


def test_commands_of_a_build_are_on_a_network_of_the_cluster(clean: Cluster, context: Path) -> None:
    clean.quick("network", "create", "shop")
    run(
        clean,
        "--name",
        "db",
        "--network",
        "shop",
        "--node",
        "h2",
        program=script("while :; do echo row | nc -l -p 80; done"),
    )
    # In a table of sockets, which is no connection: the server takes one, and is away for a moment after it.
    listens = re.compile(r":0050 [0-9A-F:]+ 0A ")
    clean.until(lambda: listens.search(clean.run("exec", "db", "cat", "/proc/net/tcp", "/proc/net/tcp6").stdout), "db")
    (context / "Dockerfile").write_text(
        f'FROM {IMAGE}\nRUN ["/bin/busybox", "sh", "-c", "nc db 80 < /dev/null > /row"]\n'
    )
    clean.shoal("build", "--node", "h1", "--network", "shop", "--tag", "web:4", str(context))
    assert clean.shoal("run", "--rm", "--node", "h3", "web:4", "/bin/busybox", "cat", "/row") == "row\n"
    clean.until(lambda: "build-" not in clean.quick("ps", "--all"), "the network of the build to be gone")
    (context / "Dockerfile").write_text(f'FROM {IMAGE}\nRUN ["/bin/busybox", "sleep", "31415904"]\n')
    command = [str(SHOAL), "build", "--node", "h1", "--network", "shop", "--tag", "web:9", str(context)]
    building = subprocess.Popen(command, env=_environment(clean), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clean.until(lambda: _sleeps(b"31415904") == 1, "the command to run")
    building.kill()
    building.wait(timeout=60)
    clean.until(lambda: _sleeps(b"31415904") == 0, "the command to be gone")
    clean.until(lambda: "build-" not in clean.quick("ps", "--all"), "the network of the killed build to be gone")
    assert "no-such" in clean.refusal("build", "--network", "no-such", str(context))


def test_a_build_that_is_interrupted_leaves_nothing(clean: Cluster, context: Path) -> None:
    (context / "Dockerfile").write_text(f'FROM {IMAGE}\nRUN ["/bin/busybox", "sleep", "31415903"]\n')
    command = [str(SHOAL), "build", "--node", "h1", "--tag", "web:9", str(context)]
    building = subprocess.Popen(command, env=_environment(clean), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clean.until(lambda: _sleeps() == 1, "the command to run")
    building.terminate()
    building.wait(timeout=60)
    clean.until(lambda: _sleeps() == 0, "the command to be gone")
    assert "web:9" not in clean.quick("images")


def _environment(cluster: Cluster) -> dict[str, str]:
    return {"SHOAL_CONFIG": str(cluster.config), "PATH": "/usr/bin:/bin"}


def _sleeps(seconds: bytes = b"31415903") -> int:
    """Processes of the command, on any host."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            found += b"sleep\x00" + seconds in path.read_bytes()
    return found
