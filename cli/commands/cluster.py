"""`shoal cluster …`."""

from typing import Any

import click

from cli.client import Client
from cli.commands.arguments import examples, format_option, pass_client
from cli.render.structure import show_document
from cli.render.tasks import timestamp
from shoal.amounts import size
from shoal.api.v1.control_pb2 import (
    ClusterView,
    GetClusterRequest,
    GetStoreRequest,
    MakeSpaceRequest,
    RotateJoinTokenRequest,
    RotateNetworkKeysRequest,
    StoreMember,
)
from shoal.errors import ShoalError

SPACE_SECONDS = 1800.0
"""Gigabytes are written anew, one member of the store after the other."""


@click.group("cluster")
def command() -> None:
    """Show the cluster and its join token, change its keys, make space where its records lie."""


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


@command.command("join-token", epilog=examples("shoal cluster join-token", "shoal cluster join-token --rotate"))
@click.option("--rotate", is_flag=True, help="Make a new token; the old one admits no more nodes.")
@click.option("-q", "--quiet", is_flag=True, help="Print the token alone.")
@pass_client
def join_token(client: Client, *, rotate: bool, quiet: bool) -> None:
    """Show how a host joins the cluster."""
    if rotate:
        view: ClusterView = client.call(client.control.RotateJoinToken, RotateJoinTokenRequest())
    else:
        view = client.call(client.control.GetCluster, GetClusterRequest())
    if quiet:
        click.echo(view.agent_join_token)
        return
    click.echo("To add a host to the cluster, run there:\n")
    click.echo(f"    shoal-agent run --join {view.join_addresses[0]} --token {view.agent_join_token}\n")


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
