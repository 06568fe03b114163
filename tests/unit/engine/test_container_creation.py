"""Creation requests as definitions, and back: what clients write is what they read."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol.errors import ApiError
from engine.protocol.versions import NEWEST, ApiVersion
from engine.translate.containers.container_creation import config_documents, read_creation
from engine.translate.containers.host_config import host_document
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.standalone_pb2 import ContainerDefinition, ContainerRestart, Reschedule
from tests.unit.engine.creation_requests import creation_requests
from tests.unit.engine.recorded_requests import CREATE_C1, CREATE_RM


def definition_of(host: dict[str, Any] | None = None, **config: Any) -> ContainerDefinition:
    return read_creation({"Image": "alpine", "HostConfig": host, **config}, NEWEST).definition


def documents_of(definition: ContainerDefinition) -> tuple[dict[str, Any], dict[str, Any]]:
    return config_documents(definition, NEWEST, network_names={})


def without_request(definition: ContainerDefinition) -> ContainerDefinition:
    found = ContainerDefinition()
    found.CopyFrom(definition)
    found.ClearField("engine_request")
    return found


@settings(max_examples=40)
@given(creation_requests())
def test_what_is_read_of_a_definition_makes_the_same_definition(request: dict[str, Any]) -> None:
    """There and back, without what the client had sent."""
    definition = without_request(read_creation(request, NEWEST).definition)
    config, host = documents_of(definition)
    again = read_creation(
        {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": endpoints_of(definition)}}, NEWEST
    )
    assert without_request(again.definition) == definition


@settings(max_examples=40)
@given(creation_requests())
def test_what_was_sent_is_told_back(request: dict[str, Any]) -> None:
    config, host = documents_of(read_creation(request, NEWEST).definition)
    for key, value in (request.get("HostConfig") or {}).items():
        if value not in (None, "", 0, [], {}, -1, "default") and key not in ("RestartPolicy", "LogConfig"):
            assert host[key] == value, key
    for key in ("Cmd", "Entrypoint", "WorkingDir", "User", "Labels", "Tty", "Image"):
        if request.get(key):
            assert config[key] == request[key]


@settings(max_examples=30)
@given(creation_requests(), creation_requests())
def test_what_is_in_force_is_told_where_it_is_not_what_was_sent(one: dict[str, Any], other: dict[str, Any]) -> None:
    """As after an update by another way: the documents are those of the definition."""
    changed = read_creation(one, NEWEST).definition
    changed.engine_request = read_creation(other, NEWEST).definition.engine_request
    _, host = documents_of(changed)
    _, plain = documents_of(without_request(changed))
    for key in ("Memory", "NanoCpus", "Privileged", "ReadonlyRootfs", "AutoRemove", "OomScoreAdj", "CpuShares"):
        assert host[key] == plain[key]


def endpoints_of(definition: ContainerDefinition) -> dict[str, Any]:
    return {
        each.network: {
            "Aliases": list(each.aliases),
            "Links": list(each.links),
            "IPAMConfig": {"IPv4Address": each.address, "IPv6Address": each.address6},
        }
        for each in definition.task.networks
        if not each.network.startswith("container:")
    }


def test_the_recorded_run_is_read_whole() -> None:
    definition = read_creation(CREATE_RM, NEWEST).definition
    assert list(definition.task.container.command) == ["echo", "hi"]
    assert definition.auto_remove
    assert not definition.task.networks
    assert definition.task.container.image == "alpine"
    assert json.loads(definition.engine_request) == {"Version": "1.50", "Body": CREATE_RM}


def test_the_recorded_container_is_told_as_recorded() -> None:
    config, host = documents_of(read_creation(CREATE_C1, NEWEST).definition)
    assert host["Binds"] == ["v1:/data"]
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "18080"}]}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert (host["ShmSize"], host["IpcMode"], host["Runtime"]) == (67108864, "private", "runc")
    assert (host["MemorySwappiness"], host["PidsLimit"], host["NetworkMode"]) == (None, None, "n1")
    assert host["Devices"] == []
    assert host["CapAdd"] is None
    assert host["Ulimits"] == []
    assert config["Volumes"] is None
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert config["Image"] == "alpine"


def test_older_versions_have_other_defaults() -> None:
    definition = definition_of()
    _, host = config_documents(definition, ApiVersion(1, 39), network_names={})
    assert (host["IpcMode"], host["CgroupnsMode"]) == ("shareable", "host")


def test_binds_are_volumes_paths_and_anonymous_ones() -> None:
    mounts = definition_of({"Binds": ["v:/a:ro,nocopy", "/srv:/b:rslave,z", "/c"]}).task.container.mounts
    assert [(each.type, each.source, each.target) for each in mounts] == [
        (Mount.VOLUME, "v", "/a"),
        (Mount.BIND, "/srv", "/b"),
        (Mount.VOLUME, "", "/c"),
    ]
    assert mounts[0].read_only
    assert mounts[0].volume.no_copy
    assert mounts[1].create_source
    assert mounts[1].propagation == "rslave"


def test_ports_are_published_by_number_range_or_choice() -> None:
    bindings = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "90": [{"HostPort": "9000-9010"}],
        "91/tcp": None,
    }
    ports = definition_of({"PortBindings": bindings}).ports
    assert [(each.target, each.protocol, each.published, each.host_address) for each in ports] == [
        (80, PublishedPort.TCP, 8080, ""),
        (53, PublishedPort.UDP, 0, "127.0.0.1"),
        (90, PublishedPort.TCP, 0, ""),
    ]
    assert (ports[2].published_first, ports[2].published_last) == (9000, 9010)


def test_publish_all_publishes_what_the_request_and_the_image_expose() -> None:
    body = {"Image": "x", "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PublishAllPorts": True}}
    ports = read_creation(body, NEWEST, image_ports=["80/tcp", "443/tcp"]).definition.ports
    assert [(each.target, each.published) for each in ports] == [(80, 0), (443, 0)]


def test_networks_of_compose_are_attachments_with_aliases() -> None:
    body = {
        "Image": "x",
        "HostConfig": {"NetworkMode": "shop_default"},
        "NetworkingConfig": {
            "EndpointsConfig": {
                "shop_default": {"Aliases": ["web", "shop-web-1"]},
                "back": {"IPAMConfig": {"IPv4Address": "10.1.2.3"}},
            }
        },
    }
    networks = read_creation(body, NEWEST).definition.task.networks
    assert [(each.network, list(each.aliases), each.address) for each in networks] == [
        ("shop_default", ["web", "shop-web-1"], ""),
        ("back", [], "10.1.2.3"),
    ]
    with pytest.raises(ApiError, match="cannot be connected to network endpoints"):
        read_creation(body, ApiVersion(1, 43))


def test_links_of_the_nodes_own_pool_are_to_containers() -> None:
    endpoints = {"bridge": {"Links": ["cache:c", "db:data"]}}
    body = {
        "Image": "x",
        "HostConfig": {"Links": ["/db:/web/data"]},
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }
    assert list(read_creation(body, NEWEST).definition.links) == ["db:data", "cache:c"]


def test_links_of_networks_are_names_and_the_mac_address_is_of_the_container() -> None:
    body: dict[str, Any] = {
        "Image": "x",
        "HostConfig": {"NetworkMode": "front", "Links": ["/db:/web/data"]},
        "NetworkingConfig": {
            "EndpointsConfig": {
                "front": {"Links": ["cache:c"], "MacAddress": "02-42-AC-11-00-02"},
                "back": {"MacAddress": "02:42:ac:11:00:02"},
            }
        },
    }
    definition = read_creation(body, NEWEST).definition
    assert not definition.links
    assert [[*each.links] for each in definition.task.networks] == [["cache:c", "db:data"], []]
    assert not definition.beside
    assert definition.task.container.mac_address == "02:42:ac:11:00:02"
    assert documents_of(definition)[0]["MacAddress"] == "02:42:ac:11:00:02"
    for mac, text in (("02:42:ac:11:00:03", "a container has one MAC address"), ("x", "invalid MAC address: x")):
        body["MacAddress"] = mac
        with pytest.raises(ApiError, match=text):
            read_creation(body, NEWEST)


def test_namespaces_of_another_container_are_told_with_its_whole_id() -> None:
    from engine.translate.object_ids import docker_id

    identifier = "3vq1xz7p9k2mn"
    definition = definition_of({"PidMode": f"container:{docker_id(identifier)}", "IpcMode": "container:db"})
    container = definition.task.container
    assert (container.pid_container, container.ipc_container) == (identifier, "db")
    container.ipc_container = identifier  # as a manager does it
    host = documents_of(definition)[1]
    assert {host["PidMode"], host["IpcMode"]} == {f"container:{docker_id(identifier)}"}


def test_the_network_of_another_container_is_meant_by_its_whole_id_too() -> None:
    identifier = "3vq1xz7p9k2mn"
    from engine.translate.object_ids import docker_id

    networks = definition_of({"NetworkMode": f"container:{docker_id(identifier)}"}).task.networks
    assert networks[0].network == f"container:{identifier}"


def test_places_are_hints_in_variables_and_labels() -> None:
    environment = [
        "A=1",
        "constraint:node==h1",
        "affinity:container==db",
        "reschedule:on-node-failure",
        "constraint:x==~y",
    ]
    labels = {"com.docker.swarm.constraints": '["storage!=disk"]', "shoal.publish": "node"}
    creation = read_creation({"Image": "x", "Env": environment, "Labels": labels}, NEWEST)
    definition = creation.definition
    assert list(definition.task.container.env) == ["A=1"]
    assert list(definition.task.placement.constraints) == ["node.hostname == h1", "engine.labels.storage != disk"]
    assert list(definition.beside) == ["db"]
    assert definition.reschedule == Reschedule.ON_NODE_FAILURE
    assert definition.publish_on_node
    assert creation.warnings == ["constraint:x==~y is a preference, which is not followed"]
    assert documents_of(definition)[0]["Env"] == ["A=1"]


def test_memory_without_swap_gives_as_much_swap_again() -> None:
    definition = definition_of({"Memory": 1 << 27, "MemorySwap": 0})
    assert definition.task.container.memory.swap_bytes == 1 << 28
    assert documents_of(definition)[1]["MemorySwap"] == 1 << 28
    assert definition_of({"Memory": 1 << 27, "MemorySwap": -1}).task.container.memory.swap_bytes == -1


def test_restart_policies_have_dockers_names() -> None:
    policy = definition_of({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}).restart
    assert (policy.condition, policy.max_attempts) == (ContainerRestart.ON_FAILURE, 3)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ({"Binds": ["a:b:c:d"]}, "invalid volume specification"),
        ({"Binds": ["../x:/y"]}, "includes invalid characters for a local volume name"),
        ({"Binds": ["v:/x:odd"]}, "invalid mode: odd"),
        ({"Binds": ["v:/x"], "Tmpfs": {"/x": ""}}, "Duplicate mount point: /x"),
        ({"Binds": ["v:relative"]}, "mount path must be absolute"),
        ({"Mounts": [{"Type": "npipe", "Target": "/x"}]}, "mount type 'npipe' is not supported"),
        ({"Mounts": [{"Type": "bind", "Source": "x", "Target": "/x"}]}, "mount path must be absolute"),
        ({"PortBindings": {"x": []}}, "invalid port specification"),
        ({"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}, "invalid port specification"),
        ({"Memory": -1}, "must not be negative"),
        ({"Memory": "1"}, "cannot unmarshal string into Go struct field HostConfig.Memory of type int64"),
        ({"MemorySwap": 5}, "You should always set the Memory limit"),
        ({"Memory": 10, "MemorySwap": 5}, "Minimum memoryswap limit"),
        ({"NanoCpus": 1, "CpuQuota": 5}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"LogConfig": {"Type": "gelf"}}, "no log driver named 'gelf' is registered"),
        ({"LogConfig": {"Type": "json-file", "Config": {"x": "y"}}}, "unknown log opt 'x'"),
        ({"RestartPolicy": {"Name": "sometimes"}}, "unknown policy 'sometimes'"),
        ({"RestartPolicy": {"Name": "always"}, "AutoRemove": True}, "can't create 'AutoRemove' container"),
        ({"PidMode": "container:"}, "invalid mode: container:"),
        ({"UTSMode": "container:x"}, "invalid mode: container:x"),
        ({"Links": ["db:"]}, "bad format for links: db:"),
        ({"CgroupParent": "/x"}, "CgroupParent: is not supported"),
        ({"StorageOpt": {"size": "1G"}}, "StorageOpt: --storage-opt is not supported"),
        ({"SecurityOpt": ["label=type:x"]}, "SELinux labels are not supported"),
        ({"DeviceRequests": [{"Driver": "amd", "Count": 1}]}, "could not select device driver 'amd'"),
        ({"NetworkMode": "host"}, ""),
        ({"CapAdd": [1]}, "cannot unmarshal number"),
        ({"CapAdd": {"a": 1}}, "cannot unmarshal object"),
        ({"OomScoreAdj": 2000}, "Invalid value 2000"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(host: dict[str, Any], text: str) -> None:
    if not text:
        assert definition_of(host).task.networks[0].network == "host"
        return
    with pytest.raises(ApiError) as caught:
        definition_of(host)
    assert caught.value.status == 400
    assert text in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60)
@given(creation_requests(), st.data())
def test_any_value_of_any_key_is_read_or_refused(request: dict[str, Any], data: st.DataObject) -> None:
    host = dict(request["HostConfig"])
    where = data.draw(st.sampled_from([request, host]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(json_values)
    try:
        config_documents(read_creation({**request, "HostConfig": host}, NEWEST).definition, NEWEST, network_names={})
    except ApiError as error:
        assert error.status == 400


@pytest.mark.parametrize(
    ("sent", "kept", "shown"),
    [("", "", "runc"), ("runc", "", "runc"), ("io.containerd.runc.v2", "", "runc"), ("crun", "crun", "crun")],
)
def test_dockers_default_runtime_is_the_nodes_choice(sent: str, kept: str, shown: str) -> None:
    definition = definition_of({"Runtime": sent})
    assert definition.task.container.runtime == kept
    definition.engine_request = b""
    assert host_document(definition, NEWEST)["Runtime"] == shown
