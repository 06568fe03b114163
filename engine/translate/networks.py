"""Networks: creation requests as specs, and the documents of `list` and `inspect`. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Any

from engine.protocol.errors import ApiError, bad_request, conflict, not_found
from engine.protocol.go_times import NEVER, time_text
from engine.protocol.versions import IMAGE_DESCRIPTORS, ApiVersion
from engine.translate.containers.container_endpoints import endpoint_id, mac_address, pool_addresses
from engine.translate.containers.container_facts import identifier
from engine.translate.fields import Fields
from engine.translate.kept_requests import as_sent, keep, read_kept
from engine.translate.object_ids import docker_id
from engine.translate.stack_labels import stack_of, with_stack
from shoal.api.v1.control_pb2 import NetworkView
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.network_pb2 import Network, NetworkAllocation, NetworkSpec

DRIVERS = ("", "default", "bridge", "overlay")
DRIVER_LABEL = "shoal.engine.driver"
"""The driver that a client has asked for: "bridge" is told back so, though it is a network over all nodes."""
INGRESS = "ingress"
"""Id of the routing mesh's own network."""
LOCAL_OPTION = "shoal.local"
_IPV6_OPTION = "com.docker.network.enable_ipv6"
_IGNORED_OPTIONS = ("com.docker.network.", "com.docker.compose.")
_MODES: Mapping[str, str] = {"bridge": "bridge", "host": "host", "none": "null"}


def read_network(document: Mapping[str, Any], version: ApiVersion) -> NetworkSpec:
    """The spec of a creation request, which is kept in it.

    A network that Docker would make on its host is one over all nodes, unless the option `shoal.local` is set. That of
    the routing mesh is called `ingress`, whatever its name is to be.

    Args:
        version: of the API, by which it came.
    Raises:
        ApiError: 400, something is not valid or cannot be honoured; 409, the name is one of Docker's own.
    """
    body = Fields(document)
    name, driver = body.text("Name"), body.text("Driver")
    _check(body, name, driver)
    options = body.text_map("Options")
    is_local = options.pop(LOCAL_OPTION, "").lower() in ("true", "1")
    spec = NetworkSpec(
        name=name,
        labels=body.text_map("Labels"),
        driver="bridge" if is_local else "overlay",
        internal=body.boolean("Internal"),
        attachable=True,
        ipv6=body.boolean("EnableIPv6") or options.pop(_IPV6_OPTION, "") in ("true", "1"),
        options={key: value for key, value in options.items() if not key.startswith(_IGNORED_OPTIONS)},
    )
    if driver == "overlay":
        spec.attachable = body.boolean("Attachable")
    if body.boolean("Ingress"):
        spec.name = INGRESS
    spec.labels[DRIVER_LABEL] = driver if driver not in ("", "default") else "bridge"
    spec.stack = stack_of(spec.labels)
    _read_ipam(body.nested("IPAM"), spec)
    spec.engine_request = keep(document, version)
    return spec


def ingress_view() -> NetworkView:
    """The routing mesh's network before there is one: it is made with the first port that is published."""
    network = Network(spec=NetworkSpec(name=INGRESS, driver="overlay"))
    network.meta.id = INGRESS
    return NetworkView(network=network)


def network_document(
    view: NetworkView, version: ApiVersion, *, containers: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    Args:
        containers: those on it, by id; of `inspect` only.
    """
    spec = view.network.spec
    labels = with_stack(spec.labels, spec.stack)
    driver = labels.pop(DRIVER_LABEL, "") or spec.driver
    is_ingress = view.network.meta.id == INGRESS
    document = _document(
        version,
        name=spec.name,
        identifier=docker_id(view.network.meta.id),
        created=time_text(view.network.meta.created_at_ms),
        driver=driver,
        scope="swarm" if driver == "overlay" else "local",
        ipam=_ipam_document(spec, view.allocation),
        spec=spec,
        labels=labels,
        containers=containers or {},
        ingress=is_ingress,
    )
    return document | _as_sent(document, spec, view.allocation)


def builtin_document(
    mode: str, network: str, version: ApiVersion, *, containers: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """`bridge`, `host` and `none`, which are on every node.

    Args:
        containers: as of `network_document`.
    """
    return _document(
        version,
        name=mode,
        identifier=network,
        created=NEVER,
        driver=_MODES[mode],
        scope="local",
        ipam={"Driver": "default", "Options": None, "Config": [] if mode == "bridge" else None},
        spec=NetworkSpec(),
        labels={},
        containers=containers or {},
    )


def _as_sent(document: Mapping[str, Any], spec: NetworkSpec, allocation: NetworkAllocation) -> dict[str, Any]:
    """What a client can have sent otherwise than it is kept, where it still means what is in force."""
    kept = read_kept(spec.engine_request)
    if kept is None:
        return {}
    try:
        meant = read_network(*kept)
    except ApiError:
        return {}
    sent = {key: kept[0].get(key) for key in ("IPAM", "Attachable", "Options")}
    then = {
        "IPAM": _ipam_document(meant, allocation),
        "Attachable": document["Attachable"] if meant.attachable == spec.attachable else None,
        "Options": dict(meant.options),
    }
    merged = as_sent({key: document[key] for key in sent}, then, sent)
    merged["IPAM"] = {**merged["IPAM"], "Options": (sent["IPAM"] or {}).get("Options")}
    return merged


def endpoints_document(view: NetworkView, containers: Mapping[str, ContainerView]) -> dict[str, Any]:
    """`Containers` of `inspect`: what is on it, by container id.

    Args:
        containers: those of users, by the id of their task.
    """
    subnet, subnet6, network = view.allocation.subnet, view.allocation.subnet6, docker_id(view.network.meta.id)
    document = {}
    for each in view.endpoints:
        found = containers.get(each.task_id)
        whole_id = docker_id(each.task_id) if found is None else identifier(found)
        document[whole_id] = {
            "Name": each.task_name if found is None else found.container.name,
            "EndpointID": endpoint_id(each.task_id, network),
            "MacAddress": "" if found is None else mac_address(found),
            "IPv4Address": _with_prefix(each.address, subnet),
            "IPv6Address": _with_prefix(each.address6, subnet6),
        }
    return document


def pool_endpoints_document(containers: Iterable[ContainerView], network: str) -> dict[str, Any]:
    """`Containers` of `bridge`: those in the nodes' own pools, by container id.

    Args:
        network: id of `bridge`.
    """
    return {
        identifier(each): {
            "Name": each.container.name,
            "EndpointID": endpoint_id(each.task.id, network),
            "MacAddress": mac_address(each),
            "IPv4Address": pool_addresses(each)[0],
            "IPv6Address": pool_addresses(each)[1],
        }
        for each in containers
        if any(pool_addresses(each))
    }


def matches(document: Mapping[str, Any], filters: Mapping[str, Iterable[str]]) -> bool:
    """Whether a network's document fits the filters of `list`."""
    return all(any(_fits(document, key, value) for value in values) for key, values in filters.items())


def _fits(document: Mapping[str, Any], key: str, value: str) -> bool:
    match key:
        case "name":
            return value in str(document["Name"])
        case "id":
            return str(document["Id"]).startswith(value)
        case "driver":
            return str(document["Driver"]) == value
        case "scope":
            return str(document["Scope"]) == value
        case "type":
            return (document["Name"] in _MODES) == (value == "builtin")
        case "label":
            name, sign, text = value.partition("=")
            return name in document["Labels"] and (not sign or document["Labels"][name] == text)
        case _:
            return True


def _check(body: Fields, name: str, driver: str) -> None:
    if not name:
        raise body.invalid("Name", "network name cannot be empty")
    if name in _MODES or (name == INGRESS and not body.boolean("Ingress")):
        raise _predefined(name)
    if driver not in DRIVERS:
        raise not_found(f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found')
    if body.boolean("ConfigOnly"):
        raise body.invalid("ConfigOnly", "is not supported")
    if body.boolean("Ingress") and driver != "overlay":
        raise body.invalid("Ingress", "ingress network can only be created with driver overlay")
    if body.nested("ConfigFrom").text("Network"):
        raise body.invalid("ConfigFrom", "is not supported")


def _predefined(name: str) -> ApiError:
    return conflict(f"network with name {name} already exists")


def _read_ipam(ipam: Fields, spec: NetworkSpec) -> None:
    if ipam.text("Driver") not in ("", "default"):
        raise ipam.invalid("Driver", f"unknown IPAM driver {ipam.text('Driver')!r}")
    for entry in ipam.nested_list("Config"):
        subnet = entry.text("Subnet")
        try:
            is_ipv6 = bool(subnet) and ip_network(subnet).version == 6
        except ValueError:
            text = f"invalid network config:\ninvalid subnet {subnet}: invalid CIDR block notation"
            raise bad_request(text) from None
        _set_pool(entry, spec, subnet, "6" if is_ipv6 else "")


def _set_pool(entry: Fields, spec: NetworkSpec, subnet: str, ending: str) -> None:
    if getattr(spec, f"subnet{ending}"):
        raise entry.invalid("Subnet", "a network has one subnet of each kind of addresses")
    setattr(spec, f"subnet{ending}", subnet)
    setattr(spec, f"gateway{ending}", entry.text("Gateway"))
    setattr(spec, f"ip_range{ending}", entry.text("IPRange"))
    getattr(spec, f"aux_addresses{ending}").update(entry.text_map("AuxiliaryAddresses"))


def _ipam_document(spec: NetworkSpec, allocation: NetworkAllocation) -> dict[str, Any]:
    pools = [
        _pool(allocation.subnet or spec.subnet, spec.gateway, spec.ip_range, spec.aux_addresses),
        _pool(allocation.subnet6 or spec.subnet6, spec.gateway6, spec.ip_range6, spec.aux_addresses6),
    ]
    return {"Driver": "default", "Options": {}, "Config": [pool for pool in pools if pool]}


def _pool(subnet: str, gateway: str, ip_range: str, aux: Mapping[str, str]) -> dict[str, Any]:
    if not subnet:
        return {}
    document: dict[str, Any] = {"Subnet": subnet}
    document |= {"IPRange": ip_range} if ip_range else {}
    document["Gateway"] = gateway or str(next(ip_network(subnet, strict=False).hosts(), ""))
    return document | ({"AuxiliaryAddresses": dict(aux)} if aux else {})


def _document(
    version: ApiVersion,
    *,
    name: str,
    identifier: str,
    created: str,
    driver: str,
    scope: str,
    ipam: Mapping[str, Any],
    spec: NetworkSpec,
    labels: Mapping[str, str],
    containers: Mapping[str, Any],
    ingress: bool = False,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "Name": name,
        "Id": identifier,
        "Created": created,
        "Scope": scope,
        "Driver": driver,
        "EnableIPv4": True,
        "EnableIPv6": spec.ipv6,
        "IPAM": ipam,
        "Internal": spec.internal,
        "Attachable": driver == "overlay" and spec.attachable,
        "Ingress": ingress,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": containers,
        "Options": dict(spec.options),
        "Labels": labels,
    }
    if version < IMAGE_DESCRIPTORS:
        del document["EnableIPv4"]
    return document


def _with_prefix(address: str, subnet: str) -> str:
    return f"{address}/{subnet.rpartition('/')[2]}" if address and subnet else address
