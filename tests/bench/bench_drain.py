"""Requests lost while a service changes: run `python -m tests.bench.bench_drain [requests]`, 100,000 by default.

A playground of three hosts; clients ask every node in turn, and a service's name from inside a container, with new
connections and with such as are kept open, while the service is updated, scaled up and down, and moved away from a
node, again and again.
"""

import sys
import tempfile
import time
from pathlib import Path

from tests.bench.rig.bed import Bed, cluster
from tests.bench.rig.figures import Figure, table
from tests.integration.cluster.traffic import Traffic, from_container, from_outside
from tests.integration.cluster.web_image import write_web_image

REQUESTS = 100_000
PORT = 8095
IMAGE = "registry:5000/web:1"


def measure(requests: int = REQUESTS) -> list[Figure]:
    """Requests lost, of so many."""
    with cluster(3) as bed:
        clients = _services(bed)
        begin, rounds = time.perf_counter(), 0
        with Traffic().running(**clients) as traffic:
            traffic.until(500)
            while traffic.answered < requests:
                _change(bed)
                rounds += 1
        seconds = time.perf_counter() - begin
    for loss in traffic.losses[:20]:
        print(f"lost: {loss}", file=sys.stderr)
    kinds = [
        Figure(f"  {where}: {kind}", number, "requests", scope="end to end")
        for where, counts in sorted(traffic.counts.items())
        for kind, number in sorted(counts.items())
    ]
    return [
        Figure("requests lost", len(traffic.losses), "requests", at_most=0, scope="end to end"),
        Figure("  of", traffic.answered + len(traffic.losses), "requests", scope="end to end"),
        *kinds,
        Figure("  rounds of update, scaling and drain", rounds, "rounds", scope="end to end"),
        Figure("  time", seconds, "s", scope="end to end"),
    ]


def _services(bed: Bed) -> dict[str, list[str]]:
    """Create the service that is asked, and one that asks; the commands of the clients."""
    with tempfile.TemporaryDirectory() as directory:
        bed.shoal("image", "push", "--quiet", str(write_web_image(Path(directory))), IMAGE)
    bed.shoal("network", "create", "front")
    # Without a health check: a task gets its clients when it listens.
    web = ("--name", "web", "--replicas", "3", "--publish", f"{PORT}:80", "--drain-timeout", "1s", "--network", "front")
    bed.shoal("service", "create", *web, IMAGE)
    bed.shoal("service", "create", "--name", "client", "--constraint", "node.hostname==h3", "--network", "front", IMAGE)
    addresses = [f"{host.address}:{PORT}" for host in bed.playground.layout.all_hosts()]
    return {
        "by every node": from_outside(addresses, fresh=2, kept=2),
        "by its name": from_container(bed.pid_of("client"), "web:80", fresh=2, kept=2),
    }


def _change(bed: Bed) -> None:
    bed.shoal("service", "update", "--force", "web")
    for replicas in (5, 2, 3):
        bed.shoal("service", "scale", f"web={replicas}")
    for availability in ("drain", "active"):
        bed.shoal("node", "update", "--availability", availability, "h2")
        time.sleep(3.0)


if __name__ == "__main__":
    print(table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS)))
