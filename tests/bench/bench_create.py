"""From the return key to a running container: `shoal service create`, the whole path.

    python -m tests.bench.bench_create

One replica, the image present. The steps are what the records show: when the service was written, when its task was,
when the container ran. All clocks are this machine's. Mere starts of the command line alternate with the rest, so that
both meet the same noise.
"""

import time
from itertools import pairwise

from shoal.api.v1.control_pb2 import GetServiceRequest, ListTasksRequest
from tests.bench.rig.bed import IMAGE, Bed, cluster
from tests.bench.rig.figures import Figure, p50, p99, table

ROUNDS = 25
STEPS = ("CLI, connection, call, image's digest", "planned", "streamed, prepared, started", "status back, CLI ends")


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """All figures of this file."""
    starts: dict[str, list[float]] = {"--help": [], "service create --help": []}
    timings = []
    with cluster(hosts=1) as bed:
        create(bed, "first")
        for number in range(rounds):
            timings.append(create(bed, f"create{number}"))
            for words, times in starts.items():
                times.append(bed.seconds(*words.split()) * 1000)
    whole = [sum(steps) for steps in timings]
    found = [
        Figure(f"shoal {words}, p50", p50(times), "ms", at_most=150, scope="CLI") for words, times in starts.items()
    ]
    found.append(Figure("service create to running, p50", p50(whole), "ms", at_most=250))
    found.append(Figure("service create to running, p99", p99(whole), "ms"))
    found.append(Figure("service create to running, least", min(whole), "ms"))
    for name, values in zip(STEPS, zip(*timings, strict=True), strict=True):
        found.append(Figure(f"  {name}, p50", p50(values), "ms"))
    return found


def create(bed: Bed, name: str) -> tuple[float, float, float, float]:
    """Make one service; milliseconds of each step. The service is removed again."""
    begin = time.time() * 1000
    bed.shoal("service", "create", "--name", name, IMAGE)
    end = time.time() * 1000
    with bed.client() as client:
        service = client.call(client.control.GetService, GetServiceRequest(service=name)).service
        (view,) = client.call(client.control.ListTasks, ListTasksRequest(service=name)).tasks
    bed.shoal("service", "rm", name)
    moments = (begin, service.meta.created_at_ms, view.task.created_at_ms, view.status.running_at_ms, end)
    first, second, third, fourth = (later - earlier for earlier, later in pairwise(moments))
    return first, second, third, fourth


def main() -> None:
    """Measure and print."""
    print(table(measure()))


if __name__ == "__main__":
    main()
