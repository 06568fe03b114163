"""The files of /etc that are generated for each container: hosts, resolv.conf, hostname. Pure."""

from collections.abc import Mapping, Sequence

from agent.worker.sandbox import Sandbox
from shoal.api.v1.container_pb2 import ContainerSpec, DnsConfig
from shoal.spec_templates import HOST_GATEWAY

MAX_HOSTNAME = 63
"""RFC 1123, and less than the kernel's own 64."""

MAX_NAMESERVERS = 3
"""More are not read (resolv.conf(5), MAXNS)."""

_LOCAL = ("127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback")


def hostname(spec: ContainerSpec, name: str) -> str:
    """The name inside the container: the spec's, else the task's as one label, `web-3-<id>`.

    A dot in it would make the rest a domain that resolvers search first (resolv.conf(5)).
    """
    return (spec.hostname or name.replace(".", "-"))[:MAX_HOSTNAME].rstrip(".-")


def etc_files(
    spec: ContainerSpec, name: str, sandbox: Sandbox | None, host_resolv_conf: str, *, node_address: str = ""
) -> Mapping[str, bytes]:
    """Content by path in the container.

    Args:
        name: of the task, `web.3.<id>`.
        sandbox: None for a container in the node's own network namespace, or without network.
        host_resolv_conf: the node's own, for containers that the node's resolver does not serve.
        node_address: the address for `host-gateway`.
    """
    own = hostname(spec, name)
    all_addresses = (*sandbox.addresses.values(), *sandbox.addresses6.values()) if sandbox else ()
    addresses = [address for address in all_addresses if address]
    resolver = sandbox.resolver if sandbox else ""
    return {
        "/etc/hostname": f"{own}\n".encode(),
        "/etc/hosts": _hosts(own, addresses, spec.extra_hosts, node_address),
        "/etc/resolv.conf": _resolv_conf(spec.dns, resolver, host_resolv_conf),
    }


def _hosts(own: str, addresses: Sequence[str], extra: Sequence[str], node_address: str) -> bytes:
    lines = [*_LOCAL, *(f"{address}\t{own}" for address in addresses or ("127.0.1.1",))]
    for each in extra:
        name, _, address = each.partition(":")
        if address == HOST_GATEWAY:
            address = node_address
        lines.append(f"{address.strip('[]')}\t{name}")
    return ("\n".join(lines) + "\n").encode()


def _resolv_conf(dns: DnsConfig, resolver: str, host: str) -> bytes:
    """The node's resolver only: it knows services, and forwards all other names to the user's DNS servers.

    If it does not serve the container: the user's DNS servers, else the node's.
    """
    servers = [resolver] if resolver else list(dns.nameservers)
    if not servers:
        return _with_dns(host, dns)
    lines = [f"nameserver {server}" for server in servers[:MAX_NAMESERVERS]]
    if resolver and not dns.search:
        lines += [line for line in host.splitlines() if line.split()[:1] in (["search"], ["domain"])]
    if not any(option.startswith("ndots:") for option in dns.options):
        # Names of services have one label: they are queried as they are, before any search domain.
        lines.append("options ndots:0")
    return _with_dns("\n".join(lines) + "\n", dns)


def _with_dns(text: str, dns: DnsConfig) -> bytes:
    lines = [line for line in text.splitlines() if not (dns.search and line.split()[:1] in (["search"], ["domain"]))]
    if dns.search:
        lines.append(f"search {' '.join(dns.search)}")
    if dns.options:
        lines.append(f"options {' '.join(dns.options)}")
    return ("\n".join(lines) + "\n").encode()
