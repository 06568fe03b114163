"""`shoal service pause|resume|promote`: an update that is under way."""

import click

from cli.client import Client
from cli.commands.arguments import detach_option, examples, pass_client, verify_option, wait_option
from cli.commands.complete import names_of
from cli.converge import wait
from shoal.api.v1.control_pb2 import SteerUpdateRequest


@click.command("pause", epilog=examples("shoal service pause web"))
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def pause(client: Client, *, service: str) -> None:
    """Stop replacing tasks of SERVICE until `resume`; what runs goes on."""
    _steer(client, service, SteerUpdateRequest.PAUSE)


@click.command("resume", epilog=examples("shoal service resume web"))
@detach_option
@wait_option
@verify_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def resume(client: Client, *, service: str, detach: bool, timeout: float, verify: float) -> None:
    """Go on with the paused update of SERVICE; failures count anew."""
    identifier = _steer(client, service, SteerUpdateRequest.RESUME)
    if not detach:
        wait(client, [identifier], seconds=timeout, verify=verify)


@click.command("promote", epilog=examples("shoal service promote web"))
@detach_option
@wait_option
@verify_option
@click.argument("service", shell_complete=names_of("service"))
@pass_client
def promote(client: Client, *, service: str, detach: bool, timeout: float, verify: float) -> None:
    """The canaries of SERVICE are good: replace the other tasks too."""
    identifier = _steer(client, service, SteerUpdateRequest.PROMOTE)
    if not detach:
        wait(client, [identifier], seconds=timeout, verify=verify)


def _steer(client: Client, service: str, action: SteerUpdateRequest.Action.ValueType) -> str:
    request = SteerUpdateRequest(service=service, action=action)
    steered = client.call(client.control.SteerUpdate, request).service
    click.echo(steered.spec.name)
    return steered.meta.id
