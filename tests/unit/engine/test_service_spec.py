"""Services of Docker's clients as specs, and back."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol.errors import ApiError
from engine.protocol.versions import NEWEST
from engine.translate.object_ids import builtin_network_id, docker_id
from engine.translate.swarm.network_targets import with_network_ids
from engine.translate.swarm.service_spec import read_service, service_spec_document
from shoal.api.v1.control_pb2 import NetworkView
from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig

FULL: dict[str, Any] = {
    "Name": "st_web",
    "Labels": {"com.docker.stack.namespace": "st", "a": "b"},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "alpine:latest",
            "Command": ["sh"],
            "Args": ["-c", "x"],
            "Env": ["A=1"],
            "Dir": "/srv",
            "User": "root",
            "Groups": ["wheel"],
            "Labels": {"c": "d"},
            "Init": True,
            "TTY": True,
            "ReadOnly": True,
            "StopSignal": "SIGINT",
            "StopGracePeriod": 5_000_000_000,
            "Mounts": [
                {"Type": "volume", "Source": "data", "Target": "/data"},
                {"Type": "tmpfs", "Target": "/run", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}},
            ],
            "Hosts": ["10.0.0.1 db"],
            "DNSConfig": {"Nameservers": ["9.9.9.9"]},
            "Secrets": [
                {"File": {"Name": "s1", "UID": "0", "GID": "0", "Mode": 292}, "SecretID": "id1", "SecretName": ""}
            ],
            "Configs": [
                {"File": {"Name": "/etc/c", "UID": "1", "GID": "2", "Mode": 256}, "ConfigID": "id2", "ConfigName": ""}
            ],
            "CapabilityAdd": ["NET_ADMIN"],
            "Sysctls": {"net.core.somaxconn": "9"},
            "Ulimits": [{"Name": "nofile", "Hard": 9, "Soft": 8}],
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000},
            "Isolation": "default",
        },
        "Resources": {
            "Limits": {"NanoCPUs": 1, "MemoryBytes": 2, "Pids": 3},
            "Reservations": {
                "MemoryBytes": 1,
                "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}],
            },
        },
        "RestartPolicy": {"Condition": "on-failure", "Delay": 1_000_000_000, "MaxAttempts": 3, "Window": 9_000_000},
        "Placement": {
            "Constraints": ["node.role == worker"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
            "MaxReplicas": 2,
        },
        "Networks": [{"Target": "front", "Aliases": ["w"]}],
        "LogDriver": {"Name": "json-file"},
        "ForceUpdate": 4,
        "Runtime": "container",
    },
    "Mode": {"Replicated": {"Replicas": 5}},
    "UpdateConfig": {
        "Parallelism": 2,
        "Delay": 1_000_000_000,
        "FailureAction": "rollback",
        "Monitor": 7_000_000_000,
        "MaxFailureRatio": 0.5,
        "Order": "start-first",
    },
    "EndpointSpec": {
        "Mode": "vip",
        "Ports": [{"Protocol": "udp", "TargetPort": 53, "PublishedPort": 5353, "PublishMode": "host"}],
    },
}


def read(document: dict[str, Any]) -> ServiceSpec:
    return read_service(document, NEWEST)


def without_request(spec: ServiceSpec) -> ServiceSpec:
    found = ServiceSpec()
    found.CopyFrom(spec)
    found.ClearField("engine_request")
    return found


def document_of(spec: ServiceSpec) -> dict[str, Any]:
    return service_spec_document(spec, defaults=False)


def test_what_was_sent_is_read() -> None:
    document = document_of(without_request(read(FULL)))
    assert document == FULL


@settings(max_examples=60)
@given(st.data())
def test_what_is_read_of_a_spec_makes_the_same_spec(data: st.DataObject) -> None:
    """Of any part of what can be sent."""
    request = {key: FULL[key] for key in FULL if data.draw(st.booleans()) or key == "TaskTemplate"}
    template = dict(request["TaskTemplate"])
    for key in [*template]:
        if data.draw(st.booleans()):
            del template[key]
    if "ContainerSpec" in template:
        container = template["ContainerSpec"]
        template["ContainerSpec"] = {key: container[key] for key in container if data.draw(st.booleans())}
    request["TaskTemplate"] = template
    plain = document_of(without_request(read(request)))
    assert document_of(without_request(read(plain))) == plain
    assert document_of(read(plain)) == plain


def test_dockers_defaults_hold_where_nothing_is_said() -> None:
    spec = read({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}})
    assert (spec.update.failure_action, spec.update.monitor_ms, spec.update.parallelism) == (
        UpdateConfig.PAUSE,
        5000,
        1,
    )
    assert spec.replicated.replicas == 1
    assert "UpdateConfig" not in service_spec_document(spec, defaults=False)
    filled = service_spec_document(spec, defaults=True)
    assert filled["UpdateConfig"] == {
        "Parallelism": 1,
        "FailureAction": "pause",
        "Monitor": 5_000_000_000,
        "MaxFailureRatio": 0,
        "Order": "stop-first",
    }


UNKNOWN_HERE: dict[str, Any] = {
    "Name": "web",
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "alpine:latest",
            "Privileges": {"CredentialSpec": None, "SELinuxContext": None, "NoNewPrivileges": False},
            "StopGracePeriod": 5_000_000_001,
        },
        "Resources": {},
        "Placement": {"Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
        "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
    },
    "Mode": {"Replicated": {"Replicas": 2}},
    "UpdateConfig": {"Parallelism": 1, "Order": "stop-first"},
}
"""What the spec alone does not say: log options, platforms, absent against empty, parts of a millisecond."""


def test_what_was_sent_is_told_back_with_all_that_a_spec_does_not_have() -> None:
    document = document_of(read(UNKNOWN_HERE))
    sent = UNKNOWN_HERE["TaskTemplate"]
    assert document["TaskTemplate"] == {
        **sent,
        "ContainerSpec": {**sent["ContainerSpec"], "Isolation": "default"},
        "ForceUpdate": 0,
        "Runtime": "container",
    }
    assert document["Labels"] == {}
    assert document["UpdateConfig"].items() >= UNKNOWN_HERE["UpdateConfig"].items()


def test_what_is_in_force_is_told_where_an_update_by_another_way_has_changed_it() -> None:
    spec = read(UNKNOWN_HERE)
    spec.replicated.replicas = 7
    spec.task.log.disabled = True
    spec.task.container.env.append("A=1")
    spec.labels["a"] = "b"
    document = document_of(spec)
    template = document["TaskTemplate"]
    assert document["Mode"] == {"Replicated": {"Replicas": 7}}
    assert document["Labels"] == {"a": "b"}
    assert template["LogDriver"]["Name"] == "none"
    assert template["ContainerSpec"]["Env"] == ["A=1"]
    assert template["ContainerSpec"]["StopGracePeriod"] == 5_000_000_001
    spec.global_job.SetInParent()
    assert document_of(spec)["Mode"] == {"GlobalJob": {}}


def test_what_is_unset_by_another_way_is_not_document_of() -> None:
    spec = read(FULL)
    spec.labels.pop("a")
    spec.ClearField("endpoint")
    del spec.task.container.env[:]
    document = document_of(spec)
    assert document["Labels"] == {"com.docker.stack.namespace": "st"}
    assert document["EndpointSpec"] == {"Mode": "vip"}
    assert "Env" not in document["TaskTemplate"]["ContainerSpec"]


def test_a_request_that_is_too_long_is_not_kept() -> None:
    spec = read({**UNKNOWN_HERE, "Labels": {f"l{number}": "x" * 4000 for number in range(20)}})
    assert not spec.engine_request
    assert document_of(spec)["TaskTemplate"]["LogDriver"] == {"Name": "json-file"}


def test_stacks_and_files_are_as_shoal_has_them() -> None:
    spec = read(FULL)
    assert spec.stack == "st"
    secret, config = spec.task.container.secrets[0], spec.task.container.configs[0]
    assert (secret.source, secret.target, secret.policy) == ("id1", "/run/secrets/s1", FileReference.PIN)
    assert (config.target, config.uid, config.gid, config.mode) == ("/etc/c", 1, 2, 0o400)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Mode": {"Replicated": {}, "Global": {}}}, "must specify only one service mode"),
        ({"UpdateConfig": {"FailureAction": "explode"}}, "unrecognized update failure action explode"),
        ({"UpdateConfig": {"MaxFailureRatio": 2}}, "invalid maximum failure ratio"),
        ({"EndpointSpec": {"Mode": "odd"}}, "invalid endpoint mode"),
        ({"EndpointSpec": {"Ports": [{"Protocol": "icmp"}]}}, "invalid port"),
        ({"TaskTemplate": {"RestartPolicy": {"Condition": "maybe"}}}, "invalid RestartCondition"),
        ({"TaskTemplate": {"Runtime": "plugin"}}, "only containers are supported"),
        ({"TaskTemplate": {"LogDriver": {"Name": "gelf"}}}, "no log driver named 'gelf' is registered"),
        ({"TaskTemplate": {"ForceUpdate": -1}}, "out of range"),
        ({"TaskTemplate": {"ContainerSpec": {"Hosts": ["x"]}}}, "must be ADDRESS NAME"),
        ({"TaskTemplate": {"ContainerSpec": {"Privileges": {"Seccomp": {"Mode": "custom"}}}}}, "custom profiles"),
        ({"Labels": {"a": 1}}, "cannot unmarshal number"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        read({"Name": "web", **change})
    assert caught.value.status == 400
    assert text in str(caught.value)


def test_jobs_have_no_update_policy_and_dockers_numbers() -> None:
    def read(mode: dict[str, Any]) -> ServiceSpec:
        document = {"Name": "job", "TaskTemplate": {"ContainerSpec": {"Image": "alpine"}}, "Mode": mode}
        return read_service(document, NEWEST)

    plain = read({"ReplicatedJob": {}})
    assert (plain.replicated_job.total_completions, plain.replicated_job.max_concurrent) == (1, 1)
    assert not plain.HasField("update")
    three = read({"ReplicatedJob": {"MaxConcurrent": 3}})
    assert (three.replicated_job.total_completions, three.replicated_job.max_concurrent) == (3, 3)
    assert "UpdateConfig" not in service_spec_document(read({"GlobalJob": {}}), defaults=True)


def test_keys_are_read_in_any_case_as_docker_reads_them() -> None:
    modes = {"mode": {"global": {}}, "rollbackConfig": {"order": "start-first"}}
    request = with_template({"containerspec": {"image": "x"}}, **modes)
    spec = read(request)
    assert spec.WhichOneof("mode") == "global"
    document = document_of(spec)
    assert (document["Mode"], document["RollbackConfig"]["Order"]) == ({"Global": {}}, "start-first")
    assert document["TaskTemplate"]["ContainerSpec"]["Image"] == "x"
    assert document.keys() >= {"Name", "Mode", "RollbackConfig"} and not document.keys() & {"mode", "rollbackConfig"}
    replicas = document_of(read(with_template({}, mode={"replicated": {"Replicas": 5}})))
    assert replicas["Mode"] == {"Replicated": {"Replicas": 5}}


@pytest.mark.parametrize(
    "template",
    [
        {"RestartPolicy": {"Condition": "any", "Delay": 5_000_000, "MaxAttempts": 5, "Window": 0}},
        {"Placement": {"Platforms": [{"Architecture": "x86_64", "OS": "linux"}]}},
        {"Placement": {"Preferences": [{"Spread": {"SpreadDescriptor": "com.example.rack"}}]}},
        {"ContainerSpec": {"Image": "x:1", "Privileges": {"SELinuxContext": {"Disable": True}}}},
        {"Networks": [{"Target": "front", "Aliases": ["w"], "DriverOpts": {"a": "b"}}]},
        {"Resources": {"Reservations": {"GenericResources": [
            {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}},
            {"NamedResourceSpec": {"Kind": "gpu", "Value": "test"}},
        ]}}},
        {"Resources": {"Reservations": {"GenericResources": [
            {"NamedResourceSpec": {"Kind": "vendor.com/gpu", "Value": "gpu0"}},
            {"NamedResourceSpec": {"Kind": "mpi", "Value": "latest"}},
        ]}}},
    ],
)  # fmt: skip
def test_parts_that_the_cluster_does_not_have_are_told_as_they_were_sent(template: dict[str, Any]) -> None:
    spec = read(with_template(template))
    spec.task.placement.platforms.add(os="linux", architecture="amd64")  # a manager fills them in
    document = document_of(spec)["TaskTemplate"]
    for key, value in template.items():
        if key in ("RestartPolicy", "Placement", "Networks"):
            assert document[key] == value
        elif key == "Resources":
            assert document[key]["Reservations"] == value["Reservations"]
        else:
            assert document[key]["Privileges"] == value["Privileges"]


def test_platforms_of_the_image_are_no_wish_of_the_client() -> None:
    spec = read(with_template({"Placement": {"MaxReplicas": 1}}))
    spec.task.placement.platforms.add(os="linux", architecture="amd64")
    assert document_of(spec)["TaskTemplate"]["Placement"] == {"MaxReplicas": 1}


def test_named_units_of_a_kind_are_counted_and_devices_keep_their_names() -> None:
    reserved = read(with_template({"Resources": {"Reservations": {"GenericResources": [
        {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}},
        {"NamedResourceSpec": {"Kind": "gpu", "Value": "test"}},
        {"NamedResourceSpec": {"Kind": "vendor.com/gpu", "Value": "gpu0"}},
    ]}}})).task.reservations.generic_resources  # fmt: skip
    assert [(each.kind, each.count, list(each.names)) for each in reserved] == [
        ("gpu", 2, []),
        ("vendor.com/gpu", 0, ["gpu0"]),
    ]


def test_selinux_labels_are_refused() -> None:
    with pytest.raises(ApiError, match="SELinux labels are not supported"):
        read(with_template({"ContainerSpec": {"Image": "x", "Privileges": {"SELinuxContext": {"Type": "t"}}}}))


def test_networks_are_named_by_their_ids() -> None:
    networks = {"0123456789abc": NetworkView(network=Network(spec=NetworkSpec(name="front")))}
    request = with_template({"Networks": [{"Target": "front", "Aliases": ["w"]}, {"Target": "host"}]})
    changed = with_network_ids(request, networks)
    assert changed["TaskTemplate"]["Networks"] == [
        {"Target": docker_id("0123456789abc"), "Aliases": ["w"]},
        {"Target": "host"},
    ]
    assert request["TaskTemplate"]["Networks"][0]["Target"] == "front"
    old = with_network_ids({"Name": "web", "Networks": [{"Target": "front"}]}, networks)
    assert old == {"Name": "web", "Networks": [{"Target": docker_id("0123456789abc")}]}


@pytest.mark.parametrize("mode", ["host", "none", "bridge"])
def test_networks_that_every_node_has_are_meant_by_their_ids_too(mode: str) -> None:
    spec = read(with_template({"Networks": [{"Target": builtin_network_id(mode)}]}))
    assert [each.network for each in spec.task.networks] == [mode]


def with_template(template: dict[str, Any], **others: Any) -> dict[str, Any]:
    has_container = any(key.lower() == "containerspec" for key in template)
    container = {} if has_container else {"ContainerSpec": {"Image": "x"}}
    return {"Name": "web", "TaskTemplate": {**container, **template}, **others}
