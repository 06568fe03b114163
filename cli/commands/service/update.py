"""`shoal service update`."""

from collections.abc import Mapping
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
from cli.commands.common.network_names import name_networks
from cli.commands.common.submit import submit
from cli.commands.service.scale import roll_back
from cli.convergence import wait
from cli.flags.click_options import apply_flags, no_resolve_image_option, update_options
from cli.flags.fault_collector import faults_of_flag
from cli.flags.fault_flags import faults_by_flag
from cli.render.error_lines import warn
from shoal.api.v1.control_pb2 import GetServiceRequest, UpdateServiceRequest, UpdateServiceResponse
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.choices import split_command


@click.command(
    "update",
    epilog=examples(
        "shoal service update --image registry:5000/hello:2 web",
        "shoal service update --env-add LEVEL=debug --limit-memory 128M web",
        "shoal service update --label-add tier=front --publish-rm 80 --publish-add 8080:80 web",
        "shoal service update --force web",
    ),
)
@click.option("--image", metavar="IMAGE", help="Image of the service.")
@click.option("--args", metavar="COMMAND", help="Command to run instead of the image's.")
@click.option("--force", is_flag=True, help="Replace tasks even if no change requires it.")
@click.option("--rollback", is_flag=True, help="Roll back to the previous revision.")
@update_options(names_of)
@no_resolve_image_option
@detach_option
@wait_option
@verify_option
@quiet_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def update(
    client: Client,
    *,
    service: str,
    rollback: bool,
    detach: bool,
    timeout: float,
    verify: float,
    quiet: bool,
    **given: Any,
) -> None:
    """Update a service. Tasks are replaced by a rolling update if a change requires it."""
    if rollback:
        if any(given.values()):
            raise InvalidInput("--rollback restores the previous spec and cannot be combined with other changes")
        changed = roll_back(client, service)
    else:
        changed = _submit_update(client, service, given)
    warn(*changed.warnings)
    click.echo(changed.service.meta.id if quiet else changed.service.spec.name)
    if not detach:
        wait(client, [changed.service.meta.id], seconds=timeout, verify=verify, quiet=quiet)


def _submit_update(client: Client, service: str, given: Mapping[str, Any]) -> UpdateServiceResponse:
    current: Service = client.call(client.control.GetService, GetServiceRequest(service=service)).service
    spec = current.spec
    if given["network_add"] or given["network_rm"]:
        name_networks(client, spec)
    faults = [*_set_template(spec, given), *apply_flags(spec, given)]
    request = UpdateServiceRequest(
        service=current.meta.id,
        version=current.meta.version,
        spec=spec,
        dry_run=bool(faults),
        no_resolve_image=given["no_resolve_image"],
    )
    return submit(lambda: client.call(client.control.UpdateService, request), faults=faults, translate=faults_by_flag)


def _set_template(spec: ServiceSpec, given: Mapping[str, Any]) -> list[Fault]:
    """The flags that `create` has as arguments."""
    container = spec.task.container
    spec.task.force_update += bool(given["force"])
    if given["image"] is not None:
        container.image = given["image"]
    if given["args"] is not None:
        try:
            container.command[:] = split_command(given["args"])
        except InvalidInput as error:
            return faults_of_flag("--args", error)
    return []
