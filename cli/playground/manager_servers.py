"""The managers of a playground: the first one in the LAN's namespace, others on hosts of their own."""

from collections.abc import Sequence
from pathlib import Path

from cli.client import Client
from cli.playground import daemons
from cli.playground.layout import API_PORT, JOIN_PORT, Layout, PlaygroundHost
from cli.playground.monitoring import monitoring_options
from shoal.api.v1.cluster_pb2 import JoinToken, ManagerMembership
from shoal.api.v1.control_pb2 import CreateJoinTokenRequest, ListManagersRequest
from shoal.contexts import manager_addresses
from shoal.contexts.context_file import Context
from shoal.monitoring.settings import MANAGER_PORT
from shoal.rpc.host_port import HostPort


def first_manager_command(layout: Layout, options: Sequence[str]) -> list[str | Path]:
    """The one that creates the cluster.

    Args:
        options: more of `shoal-manager run`.
    """
    monitoring = monitoring_options(layout, layout.manager_address, MANAGER_PORT)
    return _command(layout, layout.manager_state, layout.api, layout.join, [*monitoring, *options])


def joining_manager_command(
    layout: Layout, host: PlaygroundHost, token_file: Path, options: Sequence[str]
) -> list[str | Path]:
    """One that joins it, or starts again."""
    joining = ["--join", layout.join, "--token-file", str(token_file)]
    joining += monitoring_options(layout, host.address, MANAGER_PORT)
    return _command(
        layout, host.state, manager_api(layout, host), _address(layout, host, JOIN_PORT), [*joining, *options]
    )


def manager_api(layout: Layout, host: PlaygroundHost) -> str:
    """host:port of the API of a manager that joined."""
    return _address(layout, host, API_PORT)


def write_token(client: Client, file: Path) -> None:
    """A token for one manager, in a file for its user alone."""
    request = CreateJoinTokenRequest(role=JoinToken.MANAGER)
    file.touch(mode=0o600)
    file.write_text(str(client.call(client.control.CreateJoinToken, request).token))


def voters(client: Client) -> int:
    """How many managers run and vote."""
    views = client.call(client.control.ListManagers, ListManagersRequest()).managers
    return sum(each.alive and each.membership.state == ManagerMembership.VOTER for each in views)


def votes(context: Context, layout: Layout, host: PlaygroundHost) -> bool:
    """Whether a manager that has joined runs and votes, as it knows itself. Raises ShoalError: it does not answer."""
    api = manager_api(layout, host)
    with Client(Context(context.name, (api,), context.directory)) as client:
        views = client.call(client.control.ListManagers, ListManagersRequest()).managers
    found = (each for each in views if each.manager.api_address == api)
    return any(each.alive and each.membership.state == ManagerMembership.VOTER for each in found)


def refresh_context(context: Context) -> None:
    """Commands know all managers from now on, so that they can do without any one of them."""
    with Client(context) as client:
        manager_addresses.refresh(context, client.manager_addresses)


def _command(layout: Layout, state: Path, api: str, join: str, options: Sequence[str]) -> list[str | Path]:
    return [
        daemons.BIN / "shoal-manager",
        "run",
        "--state-directory",
        state,
        "--api-address",
        api,
        "--join-address",
        join,
        "--registries-file",
        layout.registries_file,
        *options,
    ]


def _address(layout: Layout, host: PlaygroundHost, port: int) -> str:
    return str(HostPort(layout.advertised_address(host.address), port))
