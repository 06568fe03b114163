"""`shoal service scale|rollback|rm`."""

import click

from cli.client import Client
from cli.commands.common.common_options import (
    detach_option,
    examples,
    pass_client,
    quiet_option,
    verify_option,
    wait_option,
)
from cli.commands.common.for_each import for_each
from cli.commands.common.name_completion import names_of
from cli.convergence import wait
from shoal.api.v1.control_pb2 import (
    RemoveServiceRequest,
    RollbackServiceRequest,
    ScaleServicesRequest,
    UpdateServiceResponse,
)
from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.integers import parse_count


@click.command("scale", epilog=examples("shoal service scale web=30", "shoal service scale web=10 cache=3"))
@detach_option
@wait_option
@verify_option
@click.argument("targets", nargs=-1, required=True, metavar="SERVICE=REPLICAS…")
@pass_client
def scale(client: Client, *, targets: tuple[str, ...], detach: bool, timeout: float, verify: float) -> None:
    """Scale one or more services. Either all of them are scaled or none."""
    response = client.call(client.control.ScaleServices, ScaleServicesRequest(targets=parse_targets(targets)))
    for service in response.services:
        click.echo(f"{service.spec.name} scaled to {service.spec.replicated.replicas}")
    if not detach:
        wait(client, [service.meta.id for service in response.services], seconds=timeout, verify=verify)


def parse_targets(targets: tuple[str, ...]) -> list[ScaleServicesRequest.Target]:
    """ "web=30" …, all faults at once."""
    parsed, faults = [], []
    for text in targets:
        name, sign, number = text.rpartition("=")
        try:
            if not sign or not name:
                raise InvalidInput(f"{text!r} must be in the form SERVICE=REPLICAS")
            parsed.append(ScaleServicesRequest.Target(service=name, replicas=parse_count(number, key=name)))
        except InvalidInput as error:
            faults.append(Fault("", str(error)))
    if faults:
        raise InvalidInput(faults)
    return parsed


@click.command("rollback", epilog=examples("shoal service rollback web", "shoal service rollback --to 3 web"))
@click.option(
    "--to", "revision", type=click.IntRange(min=1), help="Revision to roll back to (default: the previous one)."
)
@detach_option
@wait_option
@verify_option
@quiet_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def rollback(
    client: Client,
    *,
    service: str,
    revision: int | None,
    detach: bool,
    timeout: float,
    verify: float,
    quiet: bool,
) -> None:
    """Roll back a service to an earlier revision of its spec."""
    response = roll_back(client, service, revision or 0)
    click.echo(response.service.meta.id if quiet else response.service.spec.name)
    if not detach:
        wait(client, [response.service.meta.id], seconds=timeout, verify=verify, quiet=quiet)


def roll_back(client: Client, service: str, revision: int = 0) -> UpdateServiceResponse:
    """Return to a revision; 0 is the one before."""
    return client.call(client.control.RollbackService, RollbackServiceRequest(service=service, revision=revision))


@click.command("rm", epilog=examples("shoal service rm web", "shoal service rm --detach web cache"))
@detach_option
@wait_option
@click.argument("services", nargs=-1, required=True, shell_complete=names_of("service"))
@pass_client
def remove(client: Client, *, services: tuple[str, ...], detach: bool, timeout: float) -> None:
    """Remove one or more services and stop their tasks."""

    def remove_one(service: str) -> tuple[str, str]:
        identifier = client.call(
            client.control.RemoveService, RemoveServiceRequest(service=service, removed_with=services)
        ).id
        click.echo(service)
        return identifier, service

    outcome = for_each(services, remove_one)
    if outcome.results and not detach:
        names = dict(outcome.results)
        wait(client, list(names), seconds=timeout, until_removed=True, names=names)
    outcome.exit_if_failed()
