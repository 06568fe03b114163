"""Which containers run on the cluster's hosts, looked at each second."""

import threading
import time
from collections.abc import Sequence

from cli.playground.layout import PlaygroundHost
from tests.chaos.checks.running import RunningSample
from tests.chaos.cluster.host_state import running_containers

_PERIOD_SECONDS = 1.0


class ContainerSampler:
    """A thread.

    Attributes:
        samples: those whose containers are others than in the one before.
    """

    def __init__(self, hosts: Sequence[PlaygroundHost]) -> None:
        self.samples: list[RunningSample] = []
        self._hosts = hosts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_PERIOD_SECONDS):
            found = running_containers(self._hosts)
            if not self.samples or self.samples[-1].containers != found:
                self.samples.append(RunningSample(time.time(), found))
