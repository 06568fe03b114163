"""The `shoal` command: finds the requested command, runs it and prints its errors."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from cli.interrupts import EXIT_INTERRUPTED
from cli.lazy_group import LazyGroup
from cli.render.error_lines import CommandFailed, print_errors, sort_faults
from cli.render.output_terminal import colored
from cli.traced_command import command_request
from shoal.errors import InvalidInput, ShoalError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "cluster": ("cli.commands.cluster", "Manage the cluster"),
    "create": ("cli.commands.container.create:create", "Create a new container"),
    "commit": ("cli.commands.container.container_commit", "Create a new image from a container's changes"),
    "completion": ("cli.commands.completion", "Print a shell completion script"),
    "config": ("cli.commands.config", "Manage configs"),
    "console": ("cli.commands.console", "Open the web console"),
    "container": ("cli.commands.container", "Manage containers"),
    "context": ("cli.commands.context", "Manage contexts"),
    "cp": ("cli.commands.container.copy_files", "Copy files between a container and this machine"),
    "diff": ("cli.commands.container.container_diff", "List what a container has changed of its image's files"),
    "events": ("cli.commands.events", "Stream events from the cluster"),
    "exec": ("cli.commands.exec", "Run a command in a running container"),
    "build": ("cli.commands.build", "Build an image from a Dockerfile"),
    "attach": ("cli.commands.attach", "Attach to the main process of a container"),
    "export": ("cli.commands.container.container_export", "Export a container's root file system as a tar archive"),
    "history": ("cli.commands.image.image_inspect:show_history", "Show the history of an image"),
    "image": ("cli.commands.image", "Manage images"),
    "images": ("cli.commands.image.image_listing:list_images", "List images"),
    "import": ("cli.commands.image.image_archives:import_image", "Create an image from a tar of a root file system"),
    "info": ("cli.commands.system.system_info:info", "Display cluster-wide information"),
    "inspect": ("cli.commands.inspect", "Display detailed information on objects of any type"),
    "kill": ("cli.commands.container.container_stop:kill", "Kill one or more running containers"),
    "load": ("cli.commands.image.image_archives:load", "Load images from a tar archive"),
    "login": ("cli.commands.login:login", "Log in to a registry"),
    "logout": ("cli.commands.login:logout", "Log out from a registry"),
    "logs": ("cli.commands.container.container_logs:logs", "Fetch the logs of a container"),
    "manager": ("cli.commands.manager", "List and remove managers"),
    "network": ("cli.commands.network", "Manage networks"),
    "node": ("cli.commands.node", "Manage nodes"),
    "pause": ("cli.commands.container.container_stop:pause", "Pause all processes within one or more containers"),
    "port": ("cli.commands.container.container_processes:port", "List port mappings of a container"),
    "ps": ("cli.commands.container.container_listing:list_containers", "List containers"),
    "pull": ("cli.commands.image.image_transfer:pull", "Pull an image into the cluster"),
    "push": ("cli.commands.image.image_push:push", "Push an image to a registry"),
    "rename": ("cli.commands.container.container_changes:rename", "Rename a container"),
    "restart": ("cli.commands.container.container_stop:restart", "Restart one or more containers"),
    "rm": ("cli.commands.container.container_removal:remove", "Remove one or more containers"),
    "rmi": ("cli.commands.image.image_names:remove", "Remove one or more images"),
    "save": ("cli.commands.image.image_archives:save", "Save one or more images to a tar archive"),
    "tag": ("cli.commands.image.image_names:tag", "Create a name for an image"),
    "playground": ("cli.commands.playground", "Run a local test cluster"),
    "run": ("cli.commands.container.run:run", "Create and run a new container from an image"),
    "secret": ("cli.commands.secret", "Manage secrets"),
    "service": ("cli.commands.service", "Manage services"),
    "stack": ("cli.commands.stack", "Manage stacks"),
    "start": ("cli.commands.container.start:start", "Start one or more stopped containers"),
    "stats": ("cli.commands.stats", "Display resource usage of containers"),
    "stop": ("cli.commands.container.container_stop:stop", "Stop one or more running containers"),
    "system": ("cli.commands.system", "Manage the cluster's data"),
    "task": ("cli.commands.task", "List and inspect tasks"),
    "top": ("cli.commands.container.container_processes:top", "Display the running processes of a container"),
    "unpause": ("cli.commands.container.container_stop:unpause", "Unpause all processes within one or more containers"),
    "update": ("cli.commands.container.container_changes:update", "Update the limits of one or more containers"),
    "volume": ("cli.commands.volume", "Manage volumes"),
    "wait": ("cli.commands.container.container_wait:wait", "Block until containers stop, then print their exit codes"),
}
"""Name: module (with a click command `command`), one line of help."""

CONNECTED_AHEAD = frozenset({"run"})
"""Commands that begin to connect before they are imported: those of many modules, whose time users count."""

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2


class ShoalCommand(LazyGroup):
    """The root command. A closed pipe (`head`, a pager) is not an error."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in CONNECTED_AHEAD and "--help" not in args and not ctx.resilient_parsing:
            from cli.client import Client

            Client.begin(ctx.params.get("context_name"))
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or not any("=" in word for word in rest):
            return name, command, rest
        from cli.boolean_flags import normalize_switches

        return name, command, normalize_switches(command, rest, ctx)

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

Exit codes: 0 success, 1 failure, 2 invalid input, 3 not converged before the timeout, 130 interrupted.
`exec` and `attach` return the exit code of the container's process.
"""


@click.group(cls=ShoalCommand, parts=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--context", "context_name", envvar="SHOAL_CONTEXT", help="Context to use instead of the current one.")
@click.version_option(package_name="shoal", message="shoal %(version)s")
@click.pass_context
def shoal(ctx: click.Context, context_name: str | None) -> None:
    """Run containers on a cluster of hosts."""
    ctx.obj = context_name
    ctx.color = colored()


def usage_error(error: click.ClickException) -> str:
    """A usage error in one line, with the command whose `--help` explains it."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    help_text = f"; see `{context.command_path} --help`" if context else ""
    return " ".join(error.format_message().split()).rstrip(".") + help_text


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code: SystemExit."""
    try:
        with command_request(sys.argv[1:] if arguments is None else arguments, os.environ, COMMANDS):
            code = shoal.main(args=arguments, prog_name="shoal", standalone_mode=False)
    except click.exceptions.Abort:
        code = EXIT_INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        print_errors(usage_error(error))
        code = error.exit_code
    except CommandFailed as error:
        print_errors(str(error))
        code = error.code
    except ShoalError as error:
        print_errors(*sort_faults(error.faults) if isinstance(error, InvalidInput) else [str(error)])
        code = EXIT_BAD_INPUT if isinstance(error, InvalidInput) else EXIT_FAILED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except UnicodeEncodeError as error:  # bytes of the command line, as Python carries them, in a request
        print_errors(f"{error.object!r} is not valid UTF-8")
        code = EXIT_BAD_INPUT
    except OSError as error:  # what the command writes, or a file that it was given
        print_errors(": ".join(filter(None, (str(error.filename or ""), error.strerror or str(error)))))
        code = EXIT_FAILED
    sys.exit(code if isinstance(code, int) else 0)
