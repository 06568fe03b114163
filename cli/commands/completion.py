"""`shoal completion`: the scripts that click makes."""

import click
from click.shell_completion import get_completion_class

from cli.commands.common.common_options import examples
from shoal.errors import NotFound


@click.command(
    "completion",
    epilog=examples(
        "shoal completion bash > /etc/bash_completion.d/shoal",
        "shoal completion zsh > ~/.zfunc/_shoal",
        "shoal completion fish > ~/.config/fish/completions/shoal.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    made = get_completion_class(shell)
    if made is None:
        raise NotFound(f"completion is not available for {shell}")
    click.echo(made(ctx.find_root().command, {}, "shoal", "_SHOAL_COMPLETE").source())
