"""The current state of a playground, read from its cluster and its registry."""

import json
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cli.client import Client
from cli.playground import engine_server, subnets, virtual_network
from cli.playground.hints import PlaygroundState
from cli.playground.layout import REGISTRY_PORT, Layout
from shoal.api.v1.control_pb2 import ListNetworksRequest, ListServicesRequest
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.contexts.context_store import ContextStore
from shoal.errors import NotFound

_SECONDS = 5.0


def inspect_playground(layout: Layout, contexts: ContextStore) -> PlaygroundState:
    """The playground of this name.

    Args:
        layout: its hosts and subnet may be others': they are read from the machine.
    Raises:
        NotFound: it is not up. Unavailable: its manager does not answer.
    """
    named = "" if layout.name == Layout().name else f" --name {layout.name}"
    if (subnet := subnets.subnet_of(layout.uplink)) is None:
        raise NotFound(f"playground {layout.name!r} is not running; start it with `shoal playground up{named}`")
    layout = replace(layout, subnet=subnet)
    with Client(contexts.get(layout.name)) as client:
        services = client.call(client.control.ListServices, ListServicesRequest()).services
        networks = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    return PlaygroundState(
        name=layout.name,
        hosts=sum(each.startswith(f"{layout.name}-h") for each in virtual_network.playground_namespaces(layout)),
        host=str(layout.host(1).address),
        is_current=contexts.current_name() == layout.name,
        has_shoal=shutil.which("shoal") is not None,
        programs=str(Path(sys.executable).parent),
        images=set(_registry_images(layout)),
        services={view.service.spec.name for view in services},
        engine_socket=str(layout.engine_socket) if engine_server.accepts(layout.engine_socket) else "",
        networks={view.network.spec.name for view in networks},
        ports={
            port.published
            for view in services
            for port in view.service.spec.endpoint.ports
            if port.mode in (PublishedPort.MODE_UNSPECIFIED, PublishedPort.INGRESS)
        },
    )


def _registry_images(layout: Layout) -> Iterator[str]:
    """The repositories of its registry; none where it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://{layout.manager_address}:{REGISTRY_PORT}/v2/_catalog"
    with suppress(OSError, ValueError), opener.open(url, timeout=_SECONDS) as answer:
        yield from json.load(answer).get("repositories") or ()
