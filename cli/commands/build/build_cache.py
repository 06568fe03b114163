"""`shoal build prune` and `shoal build du`: what nodes keep of builds."""

import time
from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.common.relative_time import parse_time_ns
from cli.render.error_lines import warn
from cli.render.table import print_listing
from shoal.api.v1.builds_pb2 import BuildCacheRow, ListBuildCacheRequest, PruneBuildCacheRequest
from shoal.api.v1.engine_pb2 import Filter
from shoal.docker_units import docker_size
from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_bytes
from shoal.unit_formats import age

COLUMNS = ("id", "node", "type", "size", "last_used", "in_use", "description")
KEYS = ("until", "id", "type", "description", "inuse", "shared")
SECONDS = 600.0

filter_option = click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"Keys: {', '.join(KEYS)} (24h or a time)."
)
node_option = click.option(
    "--node", default="", metavar="NODE", help="Only on this node.", shell_complete=names_of("node")
)


@click.command("du", epilog=examples("shoal build du", "shoal build du --node h1 --filter type=exec.cachemount"))
@filter_option
@format_option
@node_option
@click.option("--verbose", is_flag=True, help="Do not shorten IDs and descriptions.")
@pass_client
def disk_usage(client: Client, *, filters: tuple[str, ...], form: str, node: str, verbose: bool) -> None:
    """Show what nodes keep of builds."""
    from shoal.api.v1.builds_pb2_grpc import BuildsStub

    request = ListBuildCacheRequest(node=node, filters=_filters(filters))
    answer = client.call(BuildsStub(client.channel).ListBuildCache, request, seconds=SECONDS)
    warn(*answer.warnings)
    now_ms = time.time_ns() // 1_000_000
    print_listing([_row(each, now_ms, verbose=verbose) for each in answer.rows], COLUMNS, form=form)
    if form == "table":
        total = sum(each.bytes for each in answer.rows)
        unused = sum(each.bytes for each in answer.rows if not each.in_use)
        click.echo(f"Reclaimable: {docker_size(unused)}\nTotal: {docker_size(total)}")


@click.command("prune", epilog=examples("shoal build prune", "shoal build prune --all --force --filter until=24h"))
@click.option("-a", "--all", "everything", is_flag=True, help="Also what builds have used lately.")
@filter_option
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation.")
@click.option(
    "--keep-storage", "--reserved-space", "keep", metavar="BYTES", help="Keep so much, of what was used last."
)
@node_option
@pass_client
def prune(
    client: Client, *, everything: bool, filters: tuple[str, ...], force: bool, keep: str | None, node: str
) -> None:
    """Delete what nodes keep of builds."""
    from shoal.api.v1.builds_pb2_grpc import BuildsStub

    request = PruneBuildCacheRequest(
        node=node, all=everything, filters=_filters(filters), keep_bytes=parse_bytes(keep) if keep else 0
    )
    if not force:
        what = "all build cache" if everything else "build cache that was not used lately"
        click.confirm(f"WARNING! This will remove {what}. Are you sure you want to continue?", abort=True, err=True)
    answer = client.call(BuildsStub(client.channel).PruneBuildCache, request, seconds=SECONDS)
    warn(*answer.warnings)
    if answer.ids:
        click.echo("Deleted build cache objects:")
        for identifier in answer.ids:
            click.echo(identifier)
        click.echo()
    click.echo(f"Total reclaimed space: {docker_size(answer.reclaimed_bytes)}")


def _filters(texts: Sequence[str]) -> list[Filter]:
    """As managers take them: times in milliseconds."""
    found = []
    for text in texts:
        key, sign, value = text.partition("=")
        if key not in KEYS or (not sign and key not in ("inuse", "shared")):
            raise InvalidInput(f"--filter: {text!r} must be in the form KEY=VALUE; keys: {', '.join(KEYS)}")
        if key == "until":
            value = str(parse_time_ns("--filter until", value, time.time_ns()) // 1_000_000)
        found.append(Filter(key=key, value=value if sign else "true"))
    return found


def _row(row: BuildCacheRow, now_ms: int, *, verbose: bool) -> dict[str, object]:
    description = " ".join(row.description.split())
    return {
        "id": row.id if verbose else row.id.removeprefix("sha256:")[:12],
        "node": row.node_hostname or row.node_id,
        "type": row.type,
        "size": docker_size(row.bytes),
        "last_used": f"{age(now_ms - (row.used_at_ms or row.created_at_ms))} ago",
        "in_use": "yes" if row.in_use else "no",
        "description": description if verbose or len(description) <= 60 else f"{description[:59]}…",
        "bytes": row.bytes,
        "created_at_ms": row.created_at_ms,
        "used_at_ms": row.used_at_ms,
        "use_count": row.use_count,
        "shared": row.shared,
    }
