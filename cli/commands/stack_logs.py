"""`shoal stack logs`: `shoal service logs` of all services of a stack."""

import click

from cli.commands.common.common_options import examples
from cli.commands.common.name_completion import names_of
from cli.commands.service.service_logs import logs as service_logs


def _show(*, stack: str, **options: object) -> None:
    assert service_logs.callback is not None
    service_logs.callback(target="", stack=stack, **options)


logs = click.Command(
    "logs",
    callback=_show,
    help="Fetch the logs of all services in a stack.",
    epilog=examples("shoal stack logs --tail 20 shop", "shoal stack logs -f shop"),
    params=[
        *(parameter for parameter in service_logs.params if isinstance(parameter, click.Option)),
        click.Argument(["stack"], shell_complete=names_of("stack")),
    ],
)
