"""`shoal service pause|resume|promote`: control an update in progress."""

import click

from cli.client import Client
from cli.commands.common.common_options import detach_option, examples, pass_client, verify_option, wait_option
from cli.commands.common.name_completion import names_of
from cli.convergence import wait
from shoal.api.v1.control_pb2 import ManageUpdateRequest


@click.command("pause", epilog=examples("shoal service pause web"))
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def pause(client: Client, *, service: str) -> None:
    """Pause the update of a service. Running tasks are not affected."""
    _control_update(client, service, ManageUpdateRequest.PAUSE)


@click.command("resume", epilog=examples("shoal service resume web"))
@detach_option
@wait_option
@verify_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def resume(client: Client, *, service: str, detach: bool, timeout: float, verify: float) -> None:
    """Resume the paused update of a service. The failure count is reset."""
    identifier = _control_update(client, service, ManageUpdateRequest.RESUME)
    if not detach:
        wait(client, [identifier], seconds=timeout, verify=verify)


@click.command("promote", epilog=examples("shoal service promote web"))
@detach_option
@wait_option
@verify_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def promote(client: Client, *, service: str, detach: bool, timeout: float, verify: float) -> None:
    """Promote the canaries of a service: update its remaining tasks."""
    identifier = _control_update(client, service, ManageUpdateRequest.PROMOTE)
    if not detach:
        wait(client, [identifier], seconds=timeout, verify=verify)


def _control_update(client: Client, service: str, action: ManageUpdateRequest.Action.ValueType) -> str:
    request = ManageUpdateRequest(service=service, action=action)
    updated = client.call(client.control.ManageUpdate, request).service
    click.echo(updated.spec.name)
    return updated.meta.id
