"""Requests lost while a service changes: run `python -m tests.bench.bench_drain [requests]`, 100,000 by default.

A playground of three hosts; clients ask every node in turn, with new connections and with one that is kept open, while
the service is updated, scaled up and down, and moved away from a node, again and again.
"""

import json
import sys
import time

from tests.bench.bed import IMAGE, Bed, cluster
from tests.integration.cluster.traffic import Traffic

REQUESTS = 100_000
PORT = 8095


def measure(requests: int) -> None:
    with cluster(3) as bed:
        bed.shoal(
            # Without a health check: a task gets its clients when it listens.
            *("service", "create", "--name", "web", "--replicas", "3", "--publish", f"{PORT}:80", IMAGE),
        )
        addresses = [f"{host.address}:{PORT}" for host in bed.playground.layout.all_hosts()]
        begin, rounds = time.perf_counter(), 0
        with Traffic(addresses).running(fresh=3, kept=1) as traffic:
            traffic.until(500)
            while traffic.answered < requests:
                _change(bed)
                rounds += 1
        print(
            json.dumps(
                {
                    "bench": "drain",
                    "answered": traffic.answered,
                    "lost": len(traffic.losses),
                    "rounds of update, scaling and drain": rounds,
                    "seconds": round(time.perf_counter() - begin),
                    "first losses": traffic.losses[:5],
                }
            )
        )


def _change(bed: Bed) -> None:
    bed.shoal("service", "update", "--force", "web")
    for replicas in (5, 2, 3):
        bed.shoal("service", "scale", f"web={replicas}")
    for availability in ("drain", "active"):
        bed.shoal("node", "update", "--availability", availability, "h2")
        time.sleep(3.0)


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS)
