"""`shoal service create`."""

from typing import Any

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
from cli.commands.common.name_completion import names_of
from cli.commands.common.submit import submit
from cli.convergence import wait
from cli.flags.click_options import apply_flags, create_options, no_resolve_image_option
from cli.flags.fault_flags import faults_by_flag
from cli.render.error_lines import warn
from shoal.api.v1.control_pb2 import CreateServiceRequest
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.mode_parser import MODES, set_mode


@click.command(
    "create",
    epilog=examples(
        "shoal service create --name web --replicas 3 --publish 8080:80 registry:5000/hello:1",
        "shoal service create --name shop --publish mode=host,published=80,target=8080 registry:5000/shop:1",
        "shoal service create --name cache --network front --limit-memory 64M registry:5000/redis:7",
        "shoal service create --name probe --network service:web registry:5000/probe:1",
        "shoal service create --name sleeper registry:5000/busybox:1 sleep 1000",
        "shoal service create --name report --mode replicated-job --schedule '0 3 * * *' registry:5000/report:1",
    ),
    context_settings={"allow_interspersed_args": False},
)
@click.option("--name", metavar="NAME", help="Service name (must be unique in the cluster).")
@click.option("--mode", default="replicated", metavar="MODE", help=f"Service mode: {', '.join(MODES)}.")
@create_options(names_of)
@no_resolve_image_option
@detach_option
@wait_option
@verify_option
@quiet_option
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_client
def create(
    client: Client,
    *,
    name: str | None,
    mode: str,
    image: str,
    command: tuple[str, ...],
    detach: bool,
    timeout: float,
    verify: float,
    quiet: bool,
    no_resolve_image: bool,
    **given: Any,
) -> None:
    """Create a service from IMAGE and wait until it has converged."""
    spec = ServiceSpec(name=name or default_name(image))
    spec.task.container.image = image
    spec.task.container.command.extend(command)
    faults = [*_set_mode(spec, mode), *apply_flags(spec, given)]
    request = CreateServiceRequest(spec=spec, dry_run=bool(faults), no_resolve_image=no_resolve_image)
    response = submit(
        lambda: client.call(client.control.CreateService, request), faults=faults, translate=faults_by_flag
    )
    warn(*response.warnings)
    click.echo(response.service.meta.id if quiet else response.service.spec.name)
    if not detach:
        wait(client, [response.service.meta.id], seconds=timeout, verify=verify, quiet=quiet)


def _set_mode(spec: ServiceSpec, mode: str) -> list[Fault]:
    try:
        set_mode(spec, mode)
    except InvalidInput as error:
        return [Fault("", f"--mode: {error}")]
    return []


def default_name(image: str) -> str:
    """The last word of the image's path: "hello" of "registry:5000/hello:1"."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]
