"""The `shoal` command: finds the command asked for, runs it, and tells its errors."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from cli.lazy import LazyGroup
from cli.render.failure import Failed, explain, in_order
from cli.render.terminal import colored
from shoal.errors import InvalidInput, ShoalError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "cluster": ("cli.commands.cluster", "Show the cluster and its join token"),
    "completion": ("cli.commands.completion", "Print the completion script of a shell"),
    "config": ("cli.commands.config", "Manage configs"),
    "context": ("cli.commands.context", "Choose which cluster to talk to, and as whom"),
    "events": ("cli.commands.events", "Show what happens in the cluster"),
    "exec": ("cli.commands.exec", "Run a program in a task's container"),
    "attach": ("cli.commands.attach", "Be at the other end of a task's own program"),
    "image": ("cli.commands.image", "Push and inspect images in a registry"),
    "manager": ("cli.commands.manager", "List and remove managers"),
    "network": ("cli.commands.network", "Manage networks"),
    "node": ("cli.commands.node", "Manage nodes"),
    "playground": ("cli.commands.playground", "Run a whole cluster on this machine"),
    "secret": ("cli.commands.secret", "Manage secrets"),
    "service": ("cli.commands.service", "Manage services"),
    "stack": ("cli.commands.stack", "Deploy Compose files"),
    "stats": ("cli.commands.stats", "Show what tasks use"),
    "task": ("cli.commands.task", "Look at single tasks"),
    "volume": ("cli.commands.volume", "Manage volumes"),
}
"""Name: module (with a click command `command`), one line of help."""

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class Program(LazyGroup):
    """The whole command; a reader that has had enough (`head`, a pager) is no failure."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or not any("=" in word for word in rest):
            return name, command, rest
        from cli.switches import plain_switches

        return name, command, plain_switches(command, rest, ctx)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


EPILOG = """\b
Examples:
  shoal service create --name web --replicas 3 --publish mode=host,target=80 registry:5000/hello:1
  shoal service scale web=30
  shoal stack deploy -c web.yaml shop
  shoal exec -it web.1 sh

Exit codes: 0 done, 1 failed, 2 bad input, 3 not converged in time, 130 interrupted; of `exec` and
`attach` the program's.
"""


@click.group(cls=Program, parts=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--context", "context_name", envvar="SHOAL_CONTEXT", help="Context to use instead of the current one.")
@click.version_option(package_name="shoal", message="shoal %(version)s")
@click.pass_context
def shoal(ctx: click.Context, context_name: str | None) -> None:
    """Run containers on many hosts."""
    ctx.obj = context_name
    ctx.color = colored()


def misused(error: click.ClickException) -> str:
    """One line: what is wrong with the words of a command, and whose help says how it is called."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    help_text = f"; see `{context.command_path} --help`" if context else ""
    return " ".join(error.format_message().split()).rstrip(".") + help_text


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code: SystemExit."""
    try:
        code = shoal.main(args=arguments, prog_name="shoal", standalone_mode=False)
    except click.exceptions.Abort:
        code = EXIT_INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        explain(misused(error))
        code = error.exit_code
    except Failed as error:
        explain(str(error))
        code = error.code
    except ShoalError as error:
        explain(*in_order(error.faults) if isinstance(error, InvalidInput) else [str(error)])
        code = EXIT_BAD_INPUT if isinstance(error, InvalidInput) else EXIT_FAILED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except OSError as error:  # what the command writes, or a file that it was given
        explain(": ".join(filter(None, (str(error.filename or ""), error.strerror or str(error)))))
        code = EXIT_FAILED
    sys.exit(code if isinstance(code, int) else 0)
