"""`shoal cluster …`."""

from collections.abc import Callable
from typing import Any

import click

from cli.client import Client
from cli.commands.cluster_backup import backup, backup_document
from cli.commands.cluster_doctor import doctor
from cli.commands.common.common_options import examples, format_option, pass_client, quiet_option
from cli.commands.common.listing_options import filter_option, ignored_no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.flags.fault_collector import FaultCollector
from cli.render.documents import print_documents
from cli.render.table import print_listing
from cli.render.task_rows import timestamp
from shoal.api.v1.cluster_pb2 import AddressPools, JoinToken
from shoal.api.v1.control_pb2 import (
    CompactStoreRequest,
    CreateJoinTokenRequest,
    CreateJoinTokenResponse,
    GetBackupScheduleRequest,
    GetClusterRequest,
    GetStoreRequest,
    JoinTokenView,
    ListJoinTokensRequest,
    RemoveJoinTokensRequest,
    RotateNetworkKeysRequest,
    StoreMember,
    UpdateClusterRequest,
)
from shoal.errors import InvalidInput, ShoalError
from shoal.filters.manager_filters import JOIN_TOKENS
from shoal.spec_parsers.units import parse_duration_ms
from shoal.unit_formats import size

TOKEN_COLUMNS = ("id", "role", "created", "expires", "uses_left", "uses")
COMPACT_SECONDS = 1800.0
"""Each etcd member rewrites gigabytes, one member after the other."""


@click.group("cluster")
def command() -> None:
    """Manage the cluster: join tokens, network keys, backups and the store."""


command.add_command(backup)


@command.command("info", epilog=examples("shoal cluster info", "shoal cluster info --format json"))
@format_option
@pass_client
def info(client: Client, *, form: str) -> None:
    """Display information about the cluster."""
    view = client.call(client.control.GetCluster, GetClusterRequest())
    about = {
        "id": view.id,
        "manager_version": view.manager_version,
        "leader": view.leader_id,
        "join_addresses": list(view.join_addresses),
        "image_repository": view.image_repository,
        "network_pools": list(view.address_pools.pools),
        "network_prefix": view.address_pools.prefix_length,
        "network_keys": {
            "generation": view.network_key_generation,
            "since": timestamp(view.network_keys_since_ms),
        },
        "store": _store(client),
        "backup": _backup(client),
        "ca_certificate": view.ca_certificate.decode(),
    }
    print_documents([about], form=form)


@command.command(
    "update",
    epilog=examples(
        "shoal cluster update --image-repository registry:5000/shoal/pool",
        "shoal cluster update --image-repository ''",
        "shoal cluster update --network-pool 10.64.0.0/10 --network-pool 172.20.0.0/14 --network-prefix 25",
    ),
)
@click.option(
    "--image-repository",
    metavar="REPOSITORY",
    help="Repository that holds the cluster's images (a registry alone: its repository shoal/pool); '' for none.",
)
@click.option(
    "--network-pool",
    metavar="SUBNET",
    multiple=True,
    help="Where networks without a subnet of their own get one; repeatable (default 10.0.0.0/8).",
)
@click.option("--network-prefix", type=int, help="Prefix length of such a network's subnet (default 24).")
@pass_client
def update(
    client: Client, *, image_repository: str | None, network_pool: tuple[str, ...], network_prefix: int | None
) -> None:
    """Update settings of the cluster.

    Managers and nodes must reach the image repository, with credentials from their registries.toml. Changing it does
    not move the images. Pools apply to networks that are created from then on; pool and prefix are set together.
    """
    request = UpdateClusterRequest(image_repository=image_repository)
    if network_pool or network_prefix is not None:
        request.address_pools.CopyFrom(AddressPools(pools=network_pool, prefix_length=network_prefix or 0))
    if not request.ListFields():
        raise InvalidInput("nothing to update; use --image-repository, --network-pool or --network-prefix")
    view = client.call(client.control.UpdateCluster, request)
    if image_repository is not None:
        click.echo(view.image_repository or "none")
    if request.HasField("address_pools"):
        click.echo(f"{', '.join(view.address_pools.pools)}, /{view.address_pools.prefix_length} for each network")


def _backup(client: Client) -> dict[str, Any]:
    try:
        return backup_document(client.call(client.control.GetBackupSchedule, GetBackupScheduleRequest()))
    except ShoalError as error:
        return {"problem": str(error)}


def _store(client: Client) -> list[dict[str, Any]]:
    try:
        view = client.call(client.control.GetStore, GetStoreRequest())
    except ShoalError as error:  # Everything else about the cluster is still displayed.
        return [{"problem": str(error)}]
    return [_member(each) for each in view.members]


def _member(member: StoreMember) -> dict[str, Any]:
    fields: dict[str, Any] = {"endpoint": member.endpoint, "etcd_version": member.version, "problem": member.problem}
    if member.version:
        fields |= {"database_bytes": member.database_bytes, "used_bytes": member.used_bytes}
    return {name: value for name, value in fields.items() if value != ""}


def _token_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Only display the token."),
        click.option(
            "--uses",
            type=int,
            metavar="N",
            help="Number of hosts that can join with the token (default 100; with --manager 1).",
        ),
        click.option("--ttl", metavar="TIME", help="Time until the token expires (default 24h; with --manager 1h)."),
        click.option("--manager", is_flag=True, help="For a manager: the token gives its holder the cluster key."),
    ):
        function = option(function)
    return function


@command.group(
    "join-token",
    invoke_without_command=True,
    epilog=examples(
        "shoal cluster join-token",
        "shoal cluster join-token --ttl 1h --uses 1",
        "shoal cluster join-token --manager",
        "shoal cluster join-token ls",
        "shoal cluster join-token rotate",
    ),
)
@_token_options
@click.pass_context
def join_token(context: click.Context, *, ttl: str | None, uses: int | None, manager: bool, quiet: bool) -> None:
    """Create a join token and display the command that joins a host.

    A token expires after its TTL or its last use. It cannot be displayed again: create another one instead.
    """
    if context.invoked_subcommand is None:
        context.invoke(_create_token, ttl=ttl, uses=uses, manager=manager, quiet=quiet)


@click.command
@_token_options
@pass_client
def _create_token(client: Client, *, ttl: str | None, uses: int | None, manager: bool, quiet: bool) -> None:
    _print_token(client.call(client.control.CreateJoinToken, _token_request(ttl, uses, manager=manager)), quiet=quiet)


@join_token.command("rotate", epilog=examples("shoal cluster join-token rotate", "shoal cluster join-token rotate -q"))
@_token_options
@pass_client
def rotate_tokens(client: Client, *, ttl: str | None, uses: int | None, manager: bool, quiet: bool) -> None:
    """Revoke all join tokens and create a new one. Nodes that have already joined are not affected."""
    _print_token(client.call(client.control.RotateJoinTokens, _token_request(ttl, uses, manager=manager)), quiet=quiet)


@join_token.command(
    "ls",
    epilog=examples(
        "shoal cluster join-token ls",
        "shoal cluster join-token ls --filter role=manager",
        "shoal cluster join-token ls --format json",
    ),
)
@filter_option(JOIN_TOKENS)
@format_option
@quiet_option
@ignored_no_trunc_option
@pass_client
def list_tokens(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool) -> None:
    """List join tokens that have not expired."""
    keeps = JOIN_TOKENS.parse(filters)
    tokens = filter(keeps, client.call(client.control.ListJoinTokens, ListJoinTokensRequest()).tokens)
    print_listing([_token_row(each) for each in tokens], TOKEN_COLUMNS, form=form, quiet="id" if quiet else None)


def _token_row(token: JoinTokenView) -> dict[str, object]:
    return {
        "id": token.id,
        "role": token.role,
        "created": timestamp(token.created_at_ms),
        "expires": timestamp(token.expires_at_ms),
        "uses_left": token.uses_left,
        "uses": token.uses,
    }


@join_token.command("rm", epilog=examples("shoal cluster join-token rm 8x2k0c5v9m1qa"))
@click.argument("tokens", nargs=-1, required=True, metavar="ID...", shell_complete=names_of("join token"))
@pass_client
def remove_tokens(client: Client, *, tokens: tuple[str, ...]) -> None:
    """Revoke one or more join tokens. Nodes that have already joined are not affected."""
    client.call(client.control.RemoveJoinTokens, RemoveJoinTokensRequest(ids=tokens))
    for each in tokens:
        click.echo(each)


def _token_request(ttl: str | None, uses: int | None, *, manager: bool) -> CreateJoinTokenRequest:
    collector = FaultCollector()
    request = CreateJoinTokenRequest(role=JoinToken.MANAGER if manager else JoinToken.AGENT)
    with collector.flag("--ttl"):
        if ttl is not None:
            request.ttl_ms = parse_duration_ms(ttl)
            if request.ttl_ms <= 0:
                raise InvalidInput("must be greater than 0")
    with collector.flag("--uses"):
        if uses is not None:
            if not 0 < uses < 1 << 31:
                raise InvalidInput("must be at least 1")
            request.uses = uses
    collector.raise_faults()
    return request


def _print_token(made: CreateJoinTokenResponse, *, quiet: bool) -> None:
    if quiet:
        click.echo(made.token)
        return
    token = made.view
    hosts = "one host" if token.uses == 1 else f"up to {token.uses} hosts"
    program, what = ("shoal-manager", "manager") if token.role == "manager" else ("shoal-agent", "host")
    click.echo(f"To add a {what} to this cluster, run the following command on it:\n")
    click.echo(f"    {program} run --join {made.join_addresses[0]} --token {made.token}\n")
    click.echo(f"The token is valid for {hosts} and expires at {timestamp(token.expires_at_ms)}.")
    click.echo(f"To revoke it, run: shoal cluster join-token rm {token.id}")


@command.command("rotate-network-keys", epilog=examples("shoal cluster rotate-network-keys"))
@pass_client
def rotate_network_keys(client: Client) -> None:
    """Rotate the keys of encrypted networks on every node.

    No packets are lost: a node is sent traffic under new keys only after it has used them itself. Keys are also rotated
    automatically every 12 hours.
    """
    view = client.call(client.control.RotateNetworkKeys, RotateNetworkKeysRequest())
    click.echo(f"rotating network keys to generation {view.network_key_generation}")


@command.command("compact", epilog=examples("shoal cluster compact"))
@pass_client
def compact(client: Client) -> None:
    """Compact and defragment etcd.

    Use it when etcd has exceeded its space quota and refuses writes. Each etcd member is blocked briefly. Only the
    history of records is deleted; current records are kept.
    """
    view = client.call(client.control.CompactStore, CompactStoreRequest(), seconds=COMPACT_SECONDS)
    for member in view.members:
        click.echo(
            f"{member.endpoint}: {size(member.database_bytes)}" + (f"; {member.problem}" if member.problem else "")
        )


command.add_command(doctor)
