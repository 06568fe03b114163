"""`shoal ps`."""

import time
from collections.abc import Sequence

import click

from cli.client import CALL_SECONDS, Client
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.commands.common.listing_options import filter_option, no_trunc_option
from cli.commands.container.container_calls import SIZE_SECONDS, containers
from cli.render.container_rows import COLUMNS, FIELDS, RowOptions, container_row, names_of_networks, summary_columns
from cli.render.error_lines import warn
from cli.render.table import column_table, print_listing
from shoal.api.v1.control_pb2 import ListNetworksRequest
from shoal.api.v1.engine_pb2 import ContainerSummaries, ContainerView, Filter, ListContainersRequest
from shoal.container_states import state_text
from shoal.filters.container_filters import container_filters
from shoal.filters.filter_set import FilterSet, KeyFilter

FILTERS: FilterSet[ContainerView] = FilterSet(
    {
        **container_filters(state_text).keys,
        "before": KeyFilter(lambda _view, _value: True),
        "since": KeyFilter(lambda _view, _value: True),
    }
)
"""What managers filter by; the command checks the keys alone."""
_NO_LIMIT = -1


@click.command(
    "ls",
    epilog=examples(
        "shoal ps",
        "shoal ps --all --filter status=exited",
        "shoal ps -q --filter node=h2",
        "shoal ps --filter name=db --format '{{.Names}} on {{.Node}}: {{.Status}}'",
    ),
)
@click.option("-a", "--all", "everything", is_flag=True, help="Show all containers (default shows just running).")
@filter_option(FILTERS)
@format_option
@click.option(
    "-n",
    "--last",
    type=click.IntRange(min=_NO_LIMIT),
    default=_NO_LIMIT,
    metavar="NUMBER",
    help="Show the containers created last (includes all states).",
)
@click.option("-l", "--latest", is_flag=True, help="Show the latest created container (includes all states).")
@no_trunc_option
@click.option("-q", "--quiet", is_flag=True, help="Only display container IDs.")
@click.option("-s", "--size", "sizes", is_flag=True, help="Display total file sizes (queries the nodes).")
@pass_client
def list_containers(
    client: Client,
    *,
    everything: bool,
    filters: tuple[str, ...],
    form: str,
    last: int,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    sizes: bool,
) -> None:
    """List the containers of the cluster: those that users created, and those of tasks of services.

    Of a container whose node is down, STATUS is the last one known. Ports with the address 0.0.0.0 are published on
    every node, unless they were published on one node only. SIZE is what a container has changed of its image's files,
    on disk, and in parentheses together with them.
    """
    request = ListContainersRequest(
        all=everything,
        include_tasks=True,
        filters=to_filters(filters),
        limit=1 if latest else max(last, 0),
        include_sizes=sizes or ".Size" in form,
    )
    if form == "table" and not (no_trunc or sizes):
        _show_summaries(client.call(containers(client).SummarizeContainers, request), quiet)
        return
    seconds = SIZE_SECONDS if request.include_sizes else CALL_SECONDS
    answer = client.call(containers(client).ListContainers, request, seconds=seconds)
    options = RowOptions(int(time.time() * 1000), _network_names(client, answer.containers, form), no_trunc)
    if quiet and form == "table":
        for view in answer.containers:
            click.echo(container_row(view, options)["container_id"])
    else:
        rows = [container_row(view, options) for view in answer.containers]
        print_listing(rows, (*COLUMNS, "size") if sizes else COLUMNS, form=form, names=FIELDS)
    warn(*answer.warnings)


def _show_summaries(answer: ContainerSummaries, quiet: bool) -> None:
    """The table, from columns as managers send them."""
    if quiet:
        click.echo("".join(f"{each}\n" for each in answer.ids), nl=False)
    else:
        click.echo(column_table(summary_columns(answer, int(time.time() * 1000))))
    warn(*answer.warnings)


def to_filters(texts: Sequence[str]) -> list[Filter]:
    """The filters for a request.

    Raises:
        InvalidInput: with all faults.
    """
    FILTERS.parse(texts)
    pairs = (text.partition("=") for text in texts)
    return [Filter(key=key.strip().lower(), value=value.strip()) for key, _, value in pairs]


def _network_names(client: Client, views: Sequence[ContainerView], form: str) -> dict[str, str]:
    """Names by id, where they are shown."""
    if form == "table" or not any(view.container.definition.task.networks for view in views):
        return {}
    return names_of_networks(client.call(client.control.ListNetworks, ListNetworksRequest()).networks)
