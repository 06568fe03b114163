"""Devices of hosts that services request by path: tasks go where agents report them."""

import pytest

from manager.planner.spec.requirements import requirements_of
from manager.store import kinds
from manager.validation.placement_rules import placement_warnings
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import Global, Replicated, ServiceSpec, TaskTemplate
from shoal.device_names import ReportedDevices
from tests.fakes.planner_world import World

USB = "/dev/ttyUSB0"


def spec(replicas: int, *devices: str) -> ServiceSpec:
    made = ServiceSpec(replicated=Replicated(replicas=replicas), task=TaskTemplate())
    made.task.container.image = "hello:1"
    for device in devices:
        made.task.container.devices.add(source=device)
    return made


def cluster(**devices: tuple[str, ...] | None) -> World:
    """Nodes with the devices that they report; None: they report none at all."""
    world = World()
    for name, paths in devices.items():
        world.node(name)
        if paths is not None:
            world.set_devices(name, *paths)
    return world


def reasons(world: World, service: str) -> list[str]:
    return [task.reason for task in world.desired(service) if not task.node_id]


def test_tasks_go_to_nodes_that_have_the_device() -> None:
    world = cluster(h1=(), h2=(USB,), h3=("/dev/kvm",))
    world.service("modem", spec(2, USB))
    world.service("plain", spec(3))
    world.settle()
    assert world.by_node("modem") == {"h2": 2}
    assert world.by_node("plain").keys() == {"h1", "h2", "h3"}


def test_where_no_node_has_it_they_wait_and_say_so_until_one_does() -> None:
    world = cluster(h1=(), h2=("/dev/ttyUSB1",))
    world.service("modem", spec(1, USB))
    world.settle()
    assert reasons(world, "modem") == [f"no suitable node: 2 of 2 lack device {USB}"]
    world.set_devices("h1", USB)
    world.settle()
    assert world.by_node("modem") == {"h1": 1}


def test_a_node_whose_agent_does_not_tell_may_have_anything() -> None:
    world = cluster(h1=(), h2=None)
    world.service("modem", spec(1, USB))
    world.settle()
    assert world.by_node("modem") == {"h2": 1}


def test_what_runs_stays_when_the_device_goes_away_and_nothing_new_comes() -> None:
    world = cluster(h1=(USB,))
    world.service("modem", spec(1, USB))
    each = spec(0, USB)
    getattr(each, "global").CopyFrom(Global())
    world.service("each", each)
    world.settle()
    before = [task.id for service in ("modem", "each") for task in world.running(service)]
    assert len(before) == 2
    world.set_devices("h1")
    world.service("modem", spec(2, USB))
    world.settle()
    assert [task.id for service in ("modem", "each") for task in world.running(service)] == before
    assert reasons(world, "modem") == [f"no suitable node: 1 of 1 lacks device {USB}"]


def test_a_global_service_runs_where_the_device_is() -> None:
    world = cluster(h1=(), h2=(USB,))
    each = spec(0, USB)
    getattr(each, "global").CopyFrom(Global())
    world.service("each", each)
    world.settle()
    assert world.by_node("each") == {"h2": 1}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/dev/ttyUSB0", "/dev/ttyUSB0"),
        ("/dev//bus/./usb/", "/dev/bus/usb"),
        ("/dev/serial/by-id/usb-1a86-if00", "/dev/serial/by-id/usb-1a86-if00"),
        ("/dev/ttyS0", "/dev/ttyS0"),
        ("/dev/null", ""),
        ("/dev/tty63", ""),
        ("/dev/loop7p1", ""),
        ("/dev/vcsa", ""),
        ("/dev/pts/3", ""),
        ("/dev/char/4:1", ""),
        ("/dev", ""),
        ("/devices/a", ""),
        ("/srv/null", ""),
        ("/dev/../srv/null", ""),
        ("/dev/é", ""),
        ("/dev/a\nb", ""),
        ("/dev/a/b/c/d/e/f/g", ""),
        ("/dev/" + "x" * 200, ""),
    ],
)
def test_which_devices_count(source: str, name: str) -> None:
    assert requirements_of(spec(1, source)).devices == ((name,) if name else ())


def test_devices_with_bounds_are_asked_for_too_and_each_once() -> None:
    made = spec(1, USB, USB)
    made.task.container.block_io.read_bps.add(path="/dev/sda", amount=1)
    made.task.container.block_io.weights.add(path="/dev/sda", amount=100)
    made.task.container.block_io.write_iops.add(path="/dev/sdb", amount=100)
    assert requirements_of(made).devices == (USB, "/dev/sda", "/dev/sdb")


def test_of_a_list_that_is_cut_what_would_stand_after_it_is_not_known() -> None:
    about = NodeDescription()
    about.devices.paths.extend(["/dev/sda", "/dev/sdc", "/dev/disk/a"])
    about.devices.truncated = True
    reported = ReportedDevices(about.devices)
    assert reported.lacks(["/dev/sda", "/dev/sdb"]) == "/dev/sdb"
    assert reported.lacks(["/dev/ttyUSB0"]) == "/dev/ttyUSB0"
    assert not reported.lacks(["/dev/disk/b", "/dev/bus/usb/001"])
    about.devices.truncated = False
    assert ReportedDevices(about.devices).lacks(["/dev/disk/b"]) == "/dev/disk/b"
    about.devices.Clear()
    assert ReportedDevices(about.devices).lacks(["/dev/disk/b"]) == "/dev/disk/b"
    about.devices.truncated = True
    assert not ReportedDevices(about.devices).lacks(["/dev/disk/b"])


def test_a_device_that_no_node_has_is_warned_of_at_submission() -> None:
    world = cluster(h1=(), h2=("/dev/kvm",))
    assert list(placement_warnings(world.tables, spec(1, USB, "/dev/kvm", "/dev/null"))) == [
        f"no node has the device {USB}; the tasks stay pending until one does"
    ]
    world.put(kinds.NODE, "h3", Node(meta=Meta(id="h3")))
    world.put(kinds.NODE_STATUS, "h3", NodeStatus(node_id="h3", state=NodeStatus.READY))
    assert not list(placement_warnings(world.tables, spec(1, USB)))
