"""`shoal service ls|ps|inspect`."""

from collections.abc import Sequence
from itertools import chain

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, inspect_format_option, pass_client, quiet_option
from cli.commands.common.for_each import for_each
from cli.commands.common.inspect_objects import inspect_each
from cli.commands.common.listing_options import filter_option, no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.commands.common.task_listing import TaskListing, task_listing_options
from cli.go_template.template_values import FieldRecord
from cli.render import task_rows
from cli.render.error_lines import warn
from cli.render.service_document import document
from cli.render.table import print_listing
from shoal.api.v1.control_pb2 import GetServiceRequest, ListServicesRequest, ListTasksRequest, ServiceView, TaskView
from shoal.api.v1.service_pb2 import JobRun
from shoal.filters.service_filters import SERVICES
from shoal.networks.published_ports import describe_port, with_assigned_numbers

COLUMNS = ("id", "name", "mode", "replicas", "image", "ports")


@click.command(
    "ls",
    epilog=examples(
        "shoal service ls",
        "shoal service ls --stack shop --format json",
        "shoal service ls --filter mode=global --format '{{.Name}} {{.Replicas}}'",
    ),
)
@click.option("--stack", default="", help="Show only services of this stack.", shell_complete=names_of("stack"))
@filter_option(SERVICES)
@format_option
@quiet_option
@no_trunc_option
@pass_client
def list_services(
    client: Client, *, stack: str, filters: tuple[str, ...], form: str, quiet: bool, no_trunc: bool
) -> None:
    """List services."""
    keeps = SERVICES.parse(filters)
    answer = client.call(client.control.ListServices, ListServicesRequest(stack=stack))
    views = list(filter(keeps, answer.services))
    rows = [service_row(view, no_trunc=no_trunc) for view in views]
    print_listing(rows, COLUMNS, form=form, quiet="id" if quiet else None)
    warn(*(f"{view.service.spec.name}: {view.status.planning_error}" for view in views if view.status.planning_error))


def service_row(view: ServiceView, *, no_trunc: bool = False) -> dict[str, object]:
    """A row of the listing."""
    spec = view.service.spec
    return {
        "id": view.service.meta.id,
        "name": spec.name,
        "mode": (spec.WhichOneof("mode") or "").replace("_", "-"),
        "replicas": _replicas(view),
        "desired": view.desired,
        "running": view.running,
        "completed": view.completed,
        "image": spec.task.container.image if no_trunc else task_rows.short_image(spec.task.container.image),
        "ports": ", ".join(map(describe_port, with_assigned_numbers(spec.endpoint.ports, view.status.mesh_ports))),
        "rolled_back_from": view.rolled_back_from,
        "fault": view.status.planning_error,
    }


def _replicas(view: ServiceView) -> str:
    if (view.service.spec.WhichOneof("mode") or "").endswith("_job"):
        failed = bool(view.status.runs) and view.status.runs[-1].state == JobRun.FAILED
        return f"{view.completed}/{view.desired} completed{' (failed)' * failed}"
    back = f" (rolled back from revision {view.rolled_back_from})" if view.rolled_back_from else ""
    return f"{view.running}/{view.desired}{back}"


@click.command("ps", epilog=examples("shoal service ps web", "shoal service ps --running --format json web cache"))
@click.option(
    "--all/--running", "everything", default=True, help="Show all tasks (default) or only tasks that have not ended."
)
@task_listing_options
@click.argument("services", nargs=-1, required=True, shell_complete=names_of("service"))
@pass_client
def tasks(
    client: Client,
    *,
    services: tuple[str, ...],
    everything: bool,
    listing: TaskListing,
) -> None:
    """List the tasks of one or more services."""
    keeps = listing.predicate(client)

    def list_one(service: str) -> Sequence[TaskView]:
        views = client.call(client.control.ListTasks, ListTasksRequest(service=service, include_ended=everything)).tasks
        found = client.call(client.control.GetService, GetServiceRequest(service=service))
        status = found.status
        warn(*([status.planning_error] if status.planning_error else []), *found.warnings)
        if not views:  # the service says what it waits for, since it has no task yet
            warn(*status.problems)
        return views

    outcome = for_each(services, list_one)
    if outcome.results:
        views = filter(keeps, chain.from_iterable(outcome.results))
        listing.show(views)
    outcome.exit_if_failed()


@click.command("inspect", epilog=examples("shoal service inspect web", "shoal service inspect --format json web cache"))
@inspect_format_option
@click.option("--pretty", is_flag=True, hidden=True, expose_value=False, help="The default.")
@click.argument("services", nargs=-1, required=True, shell_complete=names_of("service"))
@pass_client
def inspect(client: Client, *, services: tuple[str, ...], form: str) -> None:
    """Display detailed information on one or more services."""

    def get(service: str) -> ServiceView:
        return client.call(client.control.GetService, GetServiceRequest(service=service))

    def fields(view: ServiceView) -> FieldRecord:
        from cli.fields.service_fields import service_fields

        return service_fields(view)

    inspect_each(services, get, form=form, document=document, fields=fields)
