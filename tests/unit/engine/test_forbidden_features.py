"""Features that can be forbidden are recognized wherever they are asked for."""

import pytest

from engine.settings import FORBIDDABLE
from engine.translate.containers.forbidden_features import SENTENCES, features_of, joined_containers, volume_features
from shoal.api.v1.container_pb2 import ContainerSpec, Device, Hook, HostNamespaces, Mount, VolumeOptions
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
        (TaskTemplate(container=ContainerSpec(host_namespaces=HostNamespaces(ipc=True))), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(host_namespaces=HostNamespaces(uts=True))), set()),
        (TaskTemplate(container=ContainerSpec(cap_add=["NET_ADMIN", "CAP_IPC_LOCK"])), set()),
        (TaskTemplate(container=ContainerSpec(cap_add=["cap_sys_module"])), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(devices=[Device(source="/dev/sda")])), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(device_cgroup_rules=["b *:* rwm"])), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(seccomp="{}")), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(apparmor="unconfined")), {"privileged"}),
        (TaskTemplate(container=ContainerSpec(apparmor="strict", no_new_privileges=True)), set()),
        (TaskTemplate(networks=[NetworkAttachment(network="service:web")]), {"host-network"}),
        (TaskTemplate(networks=[NetworkAttachment(network="container:web")]), set()),
    ],
)
def test_of_tasks(task: TaskTemplate, features: set[str]) -> None:
    assert features_of(task) == features


def test_joined_containers_are_told_apart_by_what_is_shared() -> None:
    task = TaskTemplate(
        networks=[NetworkAttachment(network="container:a"), NetworkAttachment(network="front")],
        container=ContainerSpec(pid_container="b", ipc_container="c"),
    )
    assert joined_containers(task) == ({"a"}, {"b", "c"})
    assert joined_containers(TaskTemplate()) == (set(), set())


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
