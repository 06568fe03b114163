"""`shoal cluster …`."""

from collections.abc import Callable
from typing import Any

import click

from cli.client import Client
from cli.commands.arguments import examples, format_option, pass_client, quiet_option
from cli.flags.gathered import Gathered
from cli.render.structure import show_document
from cli.render.table import show
from cli.render.tasks import timestamp
from cli.render.units import parse_duration_ms
from shoal.amounts import size
from shoal.api.v1.control_pb2 import (
    CreateJoinTokenRequest,
    CreateJoinTokenResponse,
    GetClusterRequest,
    GetStoreRequest,
    JoinTokenView,
    ListJoinTokensRequest,
    MakeSpaceRequest,
    RemoveJoinTokensRequest,
    RotateNetworkKeysRequest,
    StoreMember,
)
from shoal.errors import InvalidInput, ShoalError

TOKEN_COLUMNS = ("id", "role", "created", "expires", "uses_left", "uses")
SPACE_SECONDS = 1800.0
"""Gigabytes are written anew, one member of the store after the other."""


@click.group("cluster")
def command() -> None:
    """Show the cluster, make and end join tokens, change its keys, make space where its records lie."""


@command.command("info", epilog=examples("shoal cluster info", "shoal cluster info --format json"))
@format_option
@pass_client
def info(client: Client, *, form: str) -> None:
    """Show what the cluster is."""
    view = client.call(client.control.GetCluster, GetClusterRequest())
    about = {
        "id": view.id,
        "manager_version": view.manager_version,
        "leader": view.leader_id,
        "join_addresses": list(view.join_addresses),
        "network_keys": {
            "generation": view.network_key_generation,
            "since": timestamp(view.network_keys_since_ms),
        },
        "store": _store(client),
        "ca_certificate": view.ca_certificate.decode(),
    }
    show_document([about], form=form)


def _store(client: Client) -> list[dict[str, Any]]:
    try:
        view = client.call(client.control.GetStore, GetStoreRequest())
    except ShoalError as error:  # All else that is known of the cluster is still worth telling.
        return [{"problem": str(error)}]
    return [_member(each) for each in view.members]


def _member(member: StoreMember) -> dict[str, Any]:
    told: dict[str, Any] = {"endpoint": member.endpoint, "etcd_version": member.version, "problem": member.problem}
    if member.version:
        told |= {"database_bytes": member.database_bytes, "used_bytes": member.used_bytes}
    return {name: value for name, value in told.items() if value != ""}


def _token_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Print the token alone."),
        click.option("--uses", default=100, show_default=True, metavar="N", help="How many hosts may join by it."),
        click.option("--ttl", default="24h", show_default=True, metavar="TIME", help="For how long it is good."),
    ):
        function = option(function)
    return function


@command.group(
    "join-token",
    invoke_without_command=True,
    epilog=examples(
        "shoal cluster join-token",
        "shoal cluster join-token --ttl 1h --uses 1",
        "shoal cluster join-token ls",
        "shoal cluster join-token rotate",
    ),
)
@_token_options
@click.pass_context
def join_token(context: click.Context, *, ttl: str, uses: int, quiet: bool) -> None:
    """Make a token by which hosts join the cluster, and show how.

    A token ends by itself, by time and by use, and cannot be shown again: make another one instead.
    """
    if context.invoked_subcommand is None:
        context.invoke(_create_token, ttl=ttl, uses=uses, quiet=quiet)


@click.command
@_token_options
@pass_client
def _create_token(client: Client, *, ttl: str, uses: int, quiet: bool) -> None:
    _tell_token(client.call(client.control.CreateJoinToken, _token_request(ttl, uses)), quiet=quiet)


@join_token.command("rotate", epilog=examples("shoal cluster join-token rotate", "shoal cluster join-token rotate -q"))
@_token_options
@pass_client
def rotate_tokens(client: Client, *, ttl: str, uses: int, quiet: bool) -> None:
    """Remove all join tokens, and make a new one. Nodes that have joined do not notice."""
    _tell_token(client.call(client.control.RotateJoinTokens, _token_request(ttl, uses)), quiet=quiet)


@join_token.command("ls", epilog=examples("shoal cluster join-token ls", "shoal cluster join-token ls --format json"))
@format_option
@quiet_option
@pass_client
def list_tokens(client: Client, *, form: str, quiet: bool) -> None:
    """List the join tokens that have not ended."""
    tokens = client.call(client.control.ListJoinTokens, ListJoinTokensRequest()).tokens
    show([_row(each) for each in tokens], TOKEN_COLUMNS, form=form, quiet="id" if quiet else None)


def _row(token: JoinTokenView) -> dict[str, object]:
    return {
        "id": token.id,
        "role": token.role,
        "created": timestamp(token.created_at_ms),
        "expires": timestamp(token.expires_at_ms),
        "uses_left": token.uses_left,
        "uses": token.uses,
    }


@join_token.command("rm", epilog=examples("shoal cluster join-token rm 8x2k0c5v9m1qa"))
@click.argument("tokens", nargs=-1, required=True, metavar="ID...")
@pass_client
def remove_tokens(client: Client, *, tokens: tuple[str, ...]) -> None:
    """Remove join tokens by their ids: they admit no more hosts. Nodes that have joined do not notice."""
    client.call(client.control.RemoveJoinTokens, RemoveJoinTokensRequest(ids=tokens))
    for each in tokens:
        click.echo(each)


def _token_request(ttl: str, uses: int) -> CreateJoinTokenRequest:
    gathered, request = Gathered(), CreateJoinTokenRequest()
    with gathered:
        request.ttl_ms = parse_duration_ms(ttl)
        if request.ttl_ms <= 0:
            raise InvalidInput("--ttl: must be more than 0; every token has an end")
    with gathered:
        if not 0 < uses < 1 << 31:
            raise InvalidInput("--uses: must be 1 or more")
        request.uses = uses
    gathered.settle()
    return request


def _tell_token(made: CreateJoinTokenResponse, *, quiet: bool) -> None:
    if quiet:
        click.echo(made.token)
        return
    token = made.view
    hosts = "one host" if token.uses == 1 else f"up to {token.uses} hosts"
    click.echo("To add a host to the cluster, run there:\n")
    click.echo(f"    shoal-agent run --join {made.join_addresses[0]} --token {made.token}\n")
    click.echo(f"The token is for {hosts}, until {timestamp(token.expires_at_ms)}.")
    click.echo(f"To end it before, run: shoal cluster join-token rm {token.id}")


@command.command("rotate-network-keys", epilog=examples("shoal cluster rotate-network-keys"))
@pass_client
def rotate_network_keys(client: Client) -> None:
    """Have every node make new keys for encrypted networks.

    No packet is lost: a node is spoken to with new keys once it has answered by them. Keys change by themselves every
    twelve hours.
    """
    view = client.call(client.control.RotateNetworkKeys, RotateNetworkKeysRequest())
    click.echo(f"nodes change to keys of generation {view.network_key_generation}")


@command.command("make-space", epilog=examples("shoal cluster make-space"))
@pass_client
def make_space(client: Client) -> None:
    """Forget the history of records in etcd and give its space back.

    For a store whose quota is used up: writes are refused until this was done. Each member of it is blocked for a
    moment; nothing that is there now is lost.
    """
    view = client.call(client.control.MakeSpace, MakeSpaceRequest(), seconds=SPACE_SECONDS)
    for member in view.members:
        click.echo(
            f"{member.endpoint}: {size(member.database_bytes)}" + (f"; {member.problem}" if member.problem else "")
        )
