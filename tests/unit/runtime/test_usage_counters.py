"""What the kernel has counted of a container, from files of both versions of cgroups."""

from agent.runtime.kernel.usage_counters import link_usage, read_counters
from shoal.api.v1.streams_pb2 import BlockUsage, LinkUsage

VERSION_2 = {
    "cpu.stat": ("usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 9\nnr_throttled 2\nthrottled_usec 30\n"),
    "memory.current": "5000\n",
    "memory.peak": "7000\n",
    "memory.max": "max\n",
    "memory.stat": "anon 1\ninactive_file 1000\n",
    "pids.current": "4\n",
    "pids.max": "100\n",
    "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:16 \n8:16 rbytes=5 wbytes=0 rios=1 wios=0\n",
}
VERSION_1 = {
    "cpuacct.usage": "77\n",
    "cpuacct.stat": "user 3\nsystem 2\n",
    "cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 30\n",
    "memory.usage_in_bytes": "5000\n",
    "memory.max_usage_in_bytes": "7000\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.stat": "total_inactive_file 1000\n",
    "pids.current": "4\n",
    "pids.max": "max\n",
    "blkio.throttle.io_service_bytes": "8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Total 3\nTotal 3\n",
    "blkio.throttle.io_serviced": "8:0 Read 3\n8:0 Write 4\nTotal 7\n",
}
NET_DEV = """\
Inter-|   Receive                                               |  Transmit
 face |bytes  packets errs drop fifo frame compressed multicast|bytes  packets errs drop fifo colls carrier compressed
    lo:   100       1    0    0    0     0          0         0    100       1    0    0    0     0       0          0
  eth0:  5000      50    1    2    0     0          0         0   6000      60    3    4    0     0       0          0
"""


def test_version_2() -> None:
    found = read_counters(lambda _, file: VERSION_2.get(file, ""), 2)
    assert (found.cgroup_version, found.cpu_ns, found.user_ns, found.system_ns) == (2, 1_500_000, 1_000_000, 500_000)
    assert (found.periods, found.throttled_periods, found.throttled_ns) == (9, 2, 30_000)
    assert (found.memory_bytes, found.memory_peak_bytes, found.inactive_file_bytes) == (5000, 7000, 1000)
    assert (found.memory_limit_bytes, found.pids, found.pids_limit) == (0, 4, 100)
    assert list(found.blocks) == [
        BlockUsage(major=8, read_bytes=1, written_bytes=2, reads=3, writes=4),
        BlockUsage(major=8, minor=16, read_bytes=5, reads=1),
    ]
    assert found.host_cpu_ns > 0 and found.host_cpus > 0


def test_version_1() -> None:
    found = read_counters(lambda _, file: VERSION_1.get(file, ""), 1)
    assert (found.cgroup_version, found.cpu_ns, found.user_ns, found.system_ns) == (1, 77, 30_000_000, 20_000_000)
    assert (found.throttled_periods, found.throttled_ns) == (2, 30)
    assert (found.memory_limit_bytes, found.memory_peak_bytes, found.inactive_file_bytes) == (0, 7000, 1000)
    assert (found.pids, found.pids_limit) == (4, 0)
    assert list(found.blocks) == [BlockUsage(major=8, read_bytes=1, written_bytes=2, reads=3, writes=4)]


def test_nothing_is_counted_of_what_is_gone() -> None:
    for version in (1, 2):
        found = read_counters(lambda _, __: "", version)
        assert not found.cpu_ns and not found.blocks and not found.memory_bytes


def test_links_without_loopback() -> None:
    assert list(link_usage(NET_DEV)) == [
        LinkUsage(
            name="eth0",
            received_bytes=5000,
            received_packets=50,
            received_errors=1,
            received_dropped=2,
            sent_bytes=6000,
            sent_packets=60,
            sent_errors=3,
            sent_dropped=4,
        )
    ]
    assert not list(link_usage(""))
