"""Bad links and partitions between the cluster's hosts."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.playground import virtual_network
from tests.chaos.cluster.chaos_cluster import ChaosCluster
from tests.chaos.fault_kinds import MANAGERS, PlannedFault
from tests.chaos.faults.packet_rules import loss_rules, packets_lost, peer_rules, rate_rules

_RELAY = Path(__file__).with_name("slow_link.py")
_FLAPS_SECONDS = 1.5


@contextmanager
def lossy(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    with packets_lost(cluster.namespace(fault.target), loss_rules(int(fault.value))):
        yield


@contextmanager
def narrow(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    with packets_lost(cluster.namespace(fault.target), rate_rules(int(fault.value))):
        yield


@contextmanager
def delayed(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """Every frame of the host takes so much longer, milliseconds, each way."""
    with _relayed(cluster, fault.target, delay_ms=int(fault.value), reordered=0):
        yield


@contextmanager
def reordered(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """Such a share of frames overtakes the others, percent."""
    with _relayed(cluster, fault.target, delay_ms=20, reordered=int(fault.value)):
        yield


@contextmanager
def _relayed(cluster: ChaosCluster, name: str, *, delay_ms: int, reordered: int) -> Iterator[None]:
    """Between the host's cable and the bridge stands a relay."""
    layout, host = cluster.layout, cluster.host(name)
    near, far = f"{layout.name}-r{name}", f"{layout.name}-s{name}"
    lan = layout.lan
    virtual_network.ip(f"link add {near} type veth peer name {far}", namespace=lan)
    command = ["nsenter", f"--net=/run/netns/{lan}", sys.executable, "-I", "-S", str(_RELAY)]
    try:
        virtual_network.ip(
            f"link set {near} up",
            f"link set {far} master lan up",
            f"link set {host.link} nomaster promisc on",
            namespace=lan,
        )
        with subprocess.Popen(
            [*command, host.link, near, str(delay_ms), str(reordered)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            yield
            assert process.stdin is not None
            process.stdin.close()
    finally:
        virtual_network.ip(f"link set {host.link} promisc off master lan up", f"link del {near}", namespace=lan)


@contextmanager
def partitioned(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """Two hosts, or one from all managers: "h1/m2", "m1/m3", "h1", "m2"."""
    one, _, other = fault.target.partition("/")
    others = [other] if other else [name for name in MANAGERS if name != one]
    addresses = [cluster.address(name) for name in others]
    with packets_lost(cluster.namespace(one), peer_rules(addresses, fault.value)):
        yield


@contextmanager
def flapping(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """A partition that comes and goes."""
    stopping = threading.Event()

    def flap() -> None:
        while not stopping.is_set():
            with partitioned(cluster, fault):
                stopping.wait(_FLAPS_SECONDS)
            stopping.wait(_FLAPS_SECONDS)

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@contextmanager
def cut(cluster: ChaosCluster, fault: PlannedFault) -> Iterator[None]:
    """The host's cable is out."""
    host = cluster.host(fault.target)
    virtual_network.set_link_state(cluster.layout, host, connected=False)
    try:
        yield
    finally:
        virtual_network.set_link_state(cluster.layout, host, connected=True)
        time.sleep(0.1)
