"""Generic resources: as the operator names them, and as a container learns of them."""

import pytest

from agent.options.declared_resources import parse_resource, resource_faults
from agent.worker.startup.allocated_resources import with_generic_resources
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput


def test_numbers_and_names() -> None:
    assert parse_resource("gpu=2") == GenericResource(kind="gpu", count=2)
    assert parse_resource("gpu=GPU-1,GPU-2") == GenericResource(kind="gpu", names=["GPU-1", "GPU-2"])
    assert parse_resource("tty=/dev/ttyUSB0").names == ["/dev/ttyUSB0"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu", "must be in the form"),
        ("=2", "must be in the form"),
        ("g pu=2", "must be in the form"),
        ("gpu=0", "from 1 to 1000"),
        ("gpu=99999", "from 1 to 1000"),
        ("gpu=A,A", "must be unique"),
        ("gpu=A,", "must be unique"),
        ("gpu=/etc/passwd", "is not a path below /dev"),
    ],
)
def test_other_forms_are_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_resource(text)


def test_a_kind_is_there_once() -> None:
    assert [fault.message for fault in resource_faults(["gpu=1", "gpu=2", "x"])] == [
        "'gpu' is given more than once",
        "'x' must be in the form KIND=COUNT or KIND=NAME,NAME, such as gpu=2 or gpu=GPU-1,GPU-2",
    ]


def test_the_container_learns_what_its_task_was_given() -> None:
    spec = ContainerSpec(env=["A=B"])
    given = [GenericResource(kind="gpu-x", names=["GPU-1", "/dev/null"]), GenericResource(kind="seat", count=3)]
    found = with_generic_resources(spec, Task(generic_resources=given))
    assert list(found.env) == ["A=B", "DOCKER_RESOURCE_GPU_X=GPU-1,/dev/null", "DOCKER_RESOURCE_SEAT=3"]
    assert [device.source for device in found.devices] == ["/dev/null"]
    assert with_generic_resources(spec, Task()) is spec
