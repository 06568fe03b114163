"""Features that can be forbidden are recognized wherever they are asked for."""

import pytest

from engine.settings import FORBIDDABLE
from engine.translate.forbidden_features import SENTENCES, features_of, volume_features
from shoal.api.v1.container_pb2 import ContainerSpec, Hook, HostNamespaces, Mount, VolumeOptions
from shoal.api.v1.service_pb2 import NetworkAttachment, TaskTemplate

DISK = {"type": "ext4", "device": "/dev/sda1"}


def test_every_one_has_a_sentence() -> None:
    assert tuple(SENTENCES) == FORBIDDABLE


@pytest.mark.parametrize(
    ("task", "features"),
    [
        (TaskTemplate(), set()),
        (TaskTemplate(container=ContainerSpec(privileged=True)), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(pre_stop=[Hook(privileged=True)])), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(mounts=[Mount(type=Mount.BIND, source="/etc")])), {"bind"}),
        (TaskTemplate(container=ContainerSpec(mounts=[Mount(type=Mount.VOLUME, source="data")])), set()),
        (
            TaskTemplate(
                container=ContainerSpec(mounts=[Mount(type=Mount.VOLUME, volume=VolumeOptions(options=DISK))])
            ),
            {"bind"},
        ),
        (TaskTemplate(networks=[NetworkAttachment(network="host")]), {"host-network"}),
        (TaskTemplate(networks=[NetworkAttachment(network="bridge")]), set()),
        (TaskTemplate(container=ContainerSpec(host_namespaces=HostNamespaces(pid=True))), {"host-pid"}),
        (TaskTemplate(container=ContainerSpec(host_namespaces=HostNamespaces(ipc=True))), set()),
    ],
)
def test_of_tasks(task: TaskTemplate, features: set[str]) -> None:
    assert features_of(task) == features


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, False),
        ({"type": "none", "o": "bind", "device": "/etc"}, True),
        ({"type": "none", "o": "ro,rbind", "device": "/etc"}, True),
        (DISK, True),
        ({"type": "overlay", "device": "overlay", "o": "lowerdir=/,upperdir=/u,workdir=/w"}, True),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, False),
        ({"type": "nfs", "device": ":/export", "o": "addr=10.0.0.1,rw"}, False),
        ({"type": "nfs", "device": "/etc", "o": "ro, bind"}, True),
        ({"device": "/etc"}, True),
    ],
)
def test_of_volumes(options: dict[str, str], shown: bool) -> None:
    assert volume_features(options, "local") == ({"bind"} if shown else set())
    assert volume_features(options, "") == volume_features(options, "local")
    assert volume_features(options, "csi.example.com") == set(), "which has options of its own"
