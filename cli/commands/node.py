"""`shoal node …`."""

import time
from collections.abc import Iterable, MutableMapping
from ipaddress import ip_address

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, inspect_format_option, pass_client, quiet_option
from cli.commands.common.for_each import for_each
from cli.commands.common.inspect_objects import inspect_each
from cli.commands.common.listing_options import filter_option, ignored_no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.commands.common.task_listing import TaskListing, task_listing_options
from cli.fields.row_fields import NODES as NAMES
from cli.flags.fault_collector import FaultCollector
from cli.go_template.template_values import FieldRecord
from cli.render import task_rows
from cli.render.documents import to_document
from cli.render.release_notes import mixed_releases
from cli.render.table import print_listing
from shoal.api.v1.control_pb2 import (
    GetNodeRequest,
    ListNodesRequest,
    ListTasksRequest,
    NodeView,
    RemoveNodeRequest,
    UpdateNodeRequest,
)
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus, OrphanedContainer
from shoal.container_ids import short_container_id
from shoal.errors import InvalidInput, Refused
from shoal.filters.node_filters import NODES
from shoal.node_states import node_state
from shoal.spec_parsers.choices import parse_choice
from shoal.spec_parsers.units import parse_duration_ms
from shoal.unit_formats import age, cpus, size

AVAILABILITIES = {"active": NodeSpec.ACTIVE, "pause": NodeSpec.PAUSE, "drain": NodeSpec.DRAIN}
_OPTIONAL_COLUMNS = ("manager", "warnings")
"""Columns that are there when any node has something in them."""
COLUMNS = ("id", "hostname", "status", "availability", "address", "tasks", "cpus", "memory", "version")


@click.group("node")
def command() -> None:
    """Manage nodes."""


@command.command("ls", epilog=examples("shoal node ls", "shoal node ls --filter node.label=disk=ssd --format json"))
@filter_option(NODES)
@format_option
@quiet_option
@ignored_no_trunc_option
@pass_client
def list_nodes(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool) -> None:
    """List nodes."""
    keeps = NODES.parse(filters)
    views = client.call(client.control.ListNodes, ListNodesRequest()).nodes
    rows = sorted(map(row, filter(keeps, views)), key=lambda node: str(node["hostname"]))
    columns = (*COLUMNS, *(name for name in _OPTIONAL_COLUMNS if any(node[name] for node in rows)))
    print_listing(rows, columns, form=form, quiet="id" if quiet else None, names=NAMES)
    note = mixed_releases("nodes", [view.status.description.agent_version for view in views])
    if note and not quiet:
        click.echo(note, err=True)


def row(view: NodeView) -> dict[str, object]:
    """A row of the listing: reserved of all CPUs and memory."""
    about, reserved = view.status.description, view.reserved
    return {
        "id": view.node.meta.id,
        "hostname": view.node.spec.identity.hostname or about.hostname,
        "status": node_state(view.status),
        "message": view.status.message,
        "availability": NodeSpec.Availability.Name(view.node.spec.availability or NodeSpec.ACTIVE).lower(),
        "address": view.node.spec.identity.address or about.address,
        "tasks": view.tasks,
        "reserved_nano_cpus": reserved.nano_cpus,
        "nano_cpus": about.resources.nano_cpus,
        "reserved_memory_bytes": reserved.memory_bytes,
        "memory_bytes": about.resources.memory_bytes,
        "cpus": f"{cpus(reserved.nano_cpus)}/{cpus(about.resources.nano_cpus)}",
        "memory": f"{size(reserved.memory_bytes)}/{size(about.resources.memory_bytes)}",
        "version": about.agent_version,
        "manager": view.status.colocated_manager_id,
        "security_options": list(about.security_options),
        "warnings": "; ".join(view.warnings),
        "labels": dict(view.node.spec.labels),
        "engine_labels": dict(about.engine_labels),
    }


@command.command("ps", epilog=examples("shoal node ps h1", "shoal node ps --all --format json h1"))
@task_listing_options
@click.option("--all", "everything", is_flag=True, help="Include tasks that have ended.")
@click.argument("node", shell_complete=names_of("node"))
@pass_client
def tasks(
    client: Client,
    *,
    node: str,
    everything: bool,
    listing: TaskListing,
) -> None:
    """List the tasks on a node."""
    keeps = listing.predicate(client)
    views = client.call(client.control.ListTasks, ListTasksRequest(node=node, include_ended=everything)).tasks
    listing.show(filter(keeps, views))


@command.command("inspect", epilog=examples("shoal node inspect h1", "shoal node inspect --format json h1 h2"))
@inspect_format_option
@click.option("--pretty", is_flag=True, hidden=True, expose_value=False, help="The default.")
@click.argument("nodes", nargs=-1, required=True, shell_complete=names_of("node"))
@pass_client
def inspect(client: Client, *, nodes: tuple[str, ...], form: str) -> None:
    """Display detailed information on one or more nodes: resources, reservations and running tasks."""

    def get(node: str) -> NodeView:
        return client.call(client.control.GetNode, GetNodeRequest(node=node))

    def fields(view: NodeView) -> FieldRecord:
        from cli.fields.node_fields import node_fields

        return node_fields(view)

    inspect_each(nodes, get, form=form, document=lambda view: document(client, view), fields=fields)


def document(client: Client, view: NodeView) -> dict[str, object]:
    """A node as `inspect` shows it: with its running tasks."""
    tasks = client.call(client.control.ListTasks, ListTasksRequest(node=view.node.meta.id)).tasks
    rows = task_rows.rows(tasks, now_ms=int(time.time() * 1000))
    running = [{key: row[key] for key in ("id", "name", "image", "state", "since", "ports")} for row in rows]
    return {**to_document(view), "running": running}


@command.command(
    "update",
    epilog=examples(
        "shoal node update --availability drain --drain-deadline 10m h2",
        "shoal node update --label-add disk=ssd h1",
        "shoal node update --address 10.0.0.9 h1",
    ),
)
@click.option("--availability", metavar="HOW", help=f"Availability of the node: {', '.join(AVAILABILITIES)}.")
@click.option("--drain-deadline", metavar="TIME", help="Stop tasks that a drain has not moved by then.")
@click.option("--label-add", multiple=True, metavar="NAME=VALUE", help="Add or update a node label.")
@click.option("--label-rm", multiple=True, metavar="NAME", help="Remove a node label.")
@click.option("--hostname", metavar="NAME", help="Change the hostname of the node.")
@click.option("--address", metavar="ADDRESS", help="Change the address at which other nodes reach this node.")
@click.option(
    "--engine-label-add", multiple=True, metavar="NAME=VALUE", help="Accept an engine label that the agent reports."
)
@click.option(
    "--engine-label-rm", multiple=True, metavar="NAME", help="Accept that the agent no longer reports a label."
)
@click.argument("node", shell_complete=names_of("node"))
@pass_client
def update(
    client: Client,
    *,
    node: str,
    hostname: str | None,
    address: str | None,
    engine_label_add: tuple[str, ...],
    engine_label_rm: tuple[str, ...],
    availability: str | None,
    drain_deadline: str | None,
    label_add: tuple[str, ...],
    label_rm: tuple[str, ...],
) -> None:
    """Update a node.

    The hostname, address and engine labels of a node are fixed when it joins. If its agent reports different values,
    `shoal node ls` shows a warning with the command that accepts them.
    """
    current = client.call(client.control.GetNode, GetNodeRequest(node=node)).node
    spec = current.spec
    collector = FaultCollector()
    if availability is not None:
        with collector.flag("--availability"):
            value = parse_choice(availability, AVAILABILITIES)
            spec.availability = NodeSpec.Availability.ValueType(value)
            spec.drain_deadline_ms = 0
    if drain_deadline is not None:
        with collector.flag("--drain-deadline"):
            _set_drain_deadline(spec, drain_deadline)
    _update_labels(collector, "--label", spec.labels, label_add, label_rm)
    if engine_label_add or engine_label_rm:
        _update_labels(collector, "--engine-label", spec.identity.engine_labels, engine_label_add, engine_label_rm)
    if hostname is not None:
        spec.identity.hostname = hostname
    if address is not None:
        with collector.flag("--address"):
            spec.identity.address = _address(address)
    collector.raise_faults()
    request = UpdateNodeRequest(node=current.meta.id, version=current.meta.version, spec=spec)
    client.call(client.control.UpdateNode, request)
    click.echo(node)


def _set_drain_deadline(spec: NodeSpec, text: str) -> None:
    if spec.availability != NodeSpec.DRAIN:
        raise InvalidInput("requires --availability drain")
    spec.drain_deadline_ms = int(time.time() * 1000) + parse_duration_ms(text)


def _update_labels(
    collector: FaultCollector, flag: str, labels: MutableMapping[str, str], added: Iterable[str], removed: Iterable[str]
) -> None:
    for name in removed:
        with collector.flag(f"{flag}-rm"):
            if name not in labels:
                raise InvalidInput(f"the node has no label {name!r}")
            del labels[name]
    for text in added:
        with collector.flag(f"{flag}-add"):
            name, sign, label = text.partition("=")
            if not (name and sign):
                raise InvalidInput(f"{text!r} must be in the form NAME=VALUE")
            labels[name] = label


def _address(text: str) -> str:
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise InvalidInput(f"{text!r} is not an IP address") from None


@command.command(
    "orphans",
    epilog=examples("shoal node orphans", "shoal node orphans h1", "shoal node orphans h1 --remove 9f8e7d6c5b4a"),
)
@format_option
@quiet_option
@click.option("--remove", multiple=True, metavar="CONTAINER", help="Delete the files of this container.")
@click.option("--remove-all", is_flag=True, help="Delete the files of all of them.")
@click.argument("node", required=False, shell_complete=names_of("node"))
@pass_client
def orphans(
    client: Client, *, node: str | None, remove: tuple[str, ...], remove_all: bool, form: str, quiet: bool
) -> None:
    """List what nodes keep of containers that have no record in the cluster, or delete it.

    A cluster that is restored from a snapshot does not know the containers that are younger. Their nodes keep the files
    until they are deleted here, or `shoal create --adopt` creates the container again.
    """
    if (remove or remove_all) and node is None:
        raise InvalidInput("--remove and --remove-all require a node")
    if remove and remove_all:
        raise InvalidInput("--remove and --remove-all exclude each other")
    if node is not None and (remove or remove_all):
        from shoal.api.v1.engine_pb2 import RemoveOrphanedContainersRequest
        from shoal.api.v1.engine_pb2_grpc import ContainersStub

        request = RemoveOrphanedContainersRequest(node=node, containers=remove)
        for each in client.call(ContainersStub(client.channel).RemoveOrphanedContainers, request).ids:
            click.echo(each)
        return
    if node is not None:
        views = [client.call(client.control.GetNode, GetNodeRequest(node=node))]
    else:
        views = list(client.call(client.control.ListNodes, ListNodesRequest()).nodes)
    rows = [_orphan_row(view, orphan) for view in views for orphan in view.status.orphaned_containers]
    print_listing(rows, ("id", "name", "node", "image", "created"), form=form, quiet="id" if quiet else None, names={})


def _orphan_row(view: NodeView, orphan: OrphanedContainer) -> dict[str, object]:
    return {
        "id": short_container_id(orphan.id),
        "name": orphan.name,
        "node": view.node.spec.identity.hostname or view.status.description.hostname,
        "image": orphan.image.partition("@")[0],
        "created": f"{age(int(time.time() * 1000) - orphan.created_at_ms)} ago" if orphan.created_at_ms else "",
        "created_at_ms": orphan.created_at_ms,
        "node_id": view.node.meta.id,
    }


@command.command("rm", epilog=examples("shoal node rm h3", "shoal node rm --force h2 h3"))
@click.option("-f", "--force", is_flag=True, help="Remove the node even if its agent is connected.")
@click.argument("nodes", nargs=-1, required=True, shell_complete=names_of("node"))
@pass_client
def remove(client: Client, *, nodes: tuple[str, ...], force: bool) -> None:
    """Remove one or more nodes from the cluster. Their tasks are rescheduled."""

    def remove_one(node: str) -> None:
        client.call(client.control.RemoveNode, RemoveNodeRequest(node=node, force=force))
        click.echo(node)

    for_each(nodes, remove_one).exit_if_failed()


@command.command("down", epilog=examples("shoal node down h7", "shoal node down h7 h8 h9"))
@click.argument("nodes", nargs=-1, required=True, shell_complete=names_of("node"))
@pass_client
def mark_down(client: Client, *, nodes: tuple[str, ...]) -> None:
    """Mark one or more unknown or restarting nodes as down, so that their tasks are rescheduled.

    Nodes become unknown if many of them stop responding at the same time, and restarting when their agent is stopped.
    Their containers may still be running.
    """

    def declare_one(reference: str) -> None:
        view = client.call(client.control.GetNode, GetNodeRequest(node=reference))
        if view.status.state != NodeStatus.UNKNOWN:
            state = node_state(view.status)
            raise Refused(f'node "{reference}" is {state}; only an unknown or restarting node can be marked as down')
        node = view.node
        node.spec.marked_down_ms = view.status.since_ms
        request = UpdateNodeRequest(node=node.meta.id, version=node.meta.version, spec=node.spec)
        client.call(client.control.UpdateNode, request)
        click.echo(reference)

    for_each(nodes, declare_one).exit_if_failed()
