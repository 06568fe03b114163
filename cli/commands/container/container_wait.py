"""`shoal wait`."""

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.for_each import for_each
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import containers
from cli.render.error_lines import warn
from shoal.api.v1.engine_pb2 import WaitContainerRequest
from shoal.errors import Unavailable
from shoal.resumption.wait_resumption import WaitResumption


@click.command("wait", epilog=examples("shoal wait job", "shoal wait job1 job2"))
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("running container"))
@pass_client
def wait(client: Client, *, names: tuple[str, ...]) -> None:
    """Block until one or more containers stop, then print their exit codes."""

    def wait_for(name: str) -> None:
        click.echo(_exit_code(client, name))

    for_each(names, wait_for).exit_if_failed()


def _exit_code(client: Client, name: str) -> int:
    resumption = WaitResumption(WaitContainerRequest(container=name))
    for answer in client.resumed_stream(containers(client).WaitContainer, resumption):
        if not answer.waiting:
            if answer.error:
                warn(f"{name}: {answer.error}")
            return answer.exit_code
    raise Unavailable(f'the manager closed the connection; container "{name}" may still be running')
