"""`shoal playground …`."""

import os
import subprocess
from pathlib import Path

import click

from cli.commands.arguments import examples
from cli.playground.layout import Layout
from cli.render.failure import Failed

EXAMPLES = """\b
Examples:
  shoal playground up --hosts 3
  shoal playground exec h1 -- ip route
  shoal playground down
"""

HINTS = """
A cluster of {hosts} hosts is up. {path}Try:

    shoal node ls
    shoal service create --name web --replicas 3 --network front --publish mode=host,target=80 registry:5000/hello:1
    shoal service scale web=30
    shoal service ps web
    shoal service logs -f web
    shoal service update --image registry:5000/hello:2 web
    curl http://{host}:8080          # the example service, on any host
    make down                        # nothing is left
"""


@click.group("playground", epilog=EXAMPLES)
def command() -> None:
    """Run a whole cluster on this machine: each host is a network namespace."""


name_option = click.option("--name", default="shoal", metavar="NAME", help="Tells playgrounds apart (shoal).")


def playground(name: str, hosts: int = 1):  # type: ignore[no-untyped-def]  # imported late: it needs gRPC
    """The playground of this name, with this user's contexts."""
    from cli.contexts.contexts import Contexts, default_directory
    from cli.playground.playground import Playground

    if os.geteuid():
        raise Failed("a playground makes network namespaces and cgroups: only root can")
    return Playground(
        Layout(name=name, hosts=hosts),
        contexts=Contexts(default_directory(os.environ)),
        say=lambda line: click.echo(line, err=True),
    )


@command.command("up", epilog=examples("shoal playground up", "shoal playground up --hosts 5 --name test"))
@click.option("--hosts", type=int, default=3, help="How many hosts (3).")
@name_option
def up(*, name: str, hosts: int) -> None:
    """Start a cluster and make its context the current one."""
    playground(name, hosts).up()
    click.echo(f"playground {name}: {hosts} hosts are ready")


@command.command("down", epilog=examples("shoal playground down", "shoal playground down --name test"))
@name_option
def down(*, name: str) -> None:
    """End the cluster and remove every trace of it."""
    playground(name).down()
    click.echo(f"playground {name}: gone")


@command.command(
    "exec", epilog=examples("shoal playground exec h1 -- ip route"), context_settings={"ignore_unknown_options": True}
)
@name_option
@click.argument("host")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def run(*, name: str, host: str, program: tuple[str, ...]) -> None:
    """Run PROGRAM in the network namespace of HOST ("h1", or "lan" for the manager's)."""
    namespace = Path("/run/netns") / f"{name}-{host}"
    if not namespace.exists():
        raise Failed(f"playground {name!r} has no host {host!r}")
    done = subprocess.run(["nsenter", f"--net={namespace}", "--", *program], check=False)
    raise SystemExit(done.returncode)


@command.command("hints", epilog=examples("shoal playground hints"))
@name_option
def hints(*, name: str) -> None:
    """Print what to try next."""
    import shutil
    import sys

    from cli.playground.fabric import ours

    layout = Layout(name=name)
    programs = Path(sys.executable).parent
    path = "" if shutil.which("shoal") else f'Put `shoal` on the PATH:\n\n    export PATH="{programs}:$PATH"\n\n'
    hosts = len([each for each in ours(layout) if each != layout.lan])
    click.echo(HINTS.format(hosts=hosts, path=path, host=layout.host(1).address))
