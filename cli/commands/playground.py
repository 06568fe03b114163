"""`shoal playground …`."""

import os
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import click

from cli.commands.common.common_options import examples
from cli.playground.layout import Layout
from cli.render.error_lines import CommandFailed

EXAMPLES = """\b
Examples:
  shoal playground up --hosts 3
  shoal playground up --name other
  shoal playground exec h1 -- ip route
  shoal playground down
"""


@click.group("playground", epilog=EXAMPLES)
def command() -> None:
    """Run a local test cluster. Each host is a network namespace."""


name_option = click.option("--name", default="shoal", metavar="NAME", help="Name of the playground (default shoal).")


def playground(name: str, **plan: Any):  # type: ignore[no-untyped-def]  # imported late: it needs gRPC
    """The playground of this name, with this user's contexts.

    Args:
        plan: more of its layout; without a subnet, it takes the first one that is free.
    """
    from cli.playground.lifecycle import Playground
    from shoal.contexts.context_store import ContextStore, default_directory

    if os.geteuid():
        raise CommandFailed("a playground creates network namespaces and cgroups; run it as root")
    return Playground(
        Layout(name=name, **plan),
        contexts=ContextStore(default_directory(os.environ)),
        report=lambda line: click.echo(line, err=True),
        any_subnet="subnet" not in plan,
        with_engine=True,
        with_console=True,
    )


@command.command("up", epilog=examples("shoal playground up", "shoal playground up --hosts 5 --managers 3 --name test"))
@click.option("--hosts", type=int, default=3, help="Number of hosts (default 3).")
@click.option("--managers", type=int, default=1, help="Number of managers (default 1); three tolerate the loss of one.")
@click.option("--subnet", metavar="SUBNET", help="Subnet of the hosts, a /24 (default: a free one).")
@name_option
def up(*, name: str, hosts: int, managers: int, subnet: str | None) -> None:
    """Start a playground and make its context the current one."""
    playground(name, hosts=hosts, managers=managers, **({"subnet": _subnet(subnet)} if subnet else {})).up()
    click.echo(f"playground {name}: {hosts} {'host is' if hosts == 1 else 'hosts are'} ready")


def _subnet(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise CommandFailed(f"--subnet: {error}") from None


@command.command("down", epilog=examples("shoal playground down", "shoal playground down --name test"))
@name_option
def down(*, name: str) -> None:
    """Stop a playground and remove everything that it created."""
    from cli.playground.leftovers import leftovers

    made = playground(name)
    was_there = bool(leftovers(made.layout))
    made.down()
    click.echo(f"playground {name} removed" if was_there else f"playground {name} is not running; nothing to remove")


@command.command(
    "exec", epilog=examples("shoal playground exec h1 -- ip route"), context_settings={"ignore_unknown_options": True}
)
@name_option
@click.argument("host")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def run(*, name: str, host: str, program: tuple[str, ...]) -> None:
    """Run a command in the network namespace of HOST (h1, or lan for the manager)."""
    namespace = Path("/run/netns") / f"{name}-{host}"
    if not namespace.exists():
        raise CommandFailed(f"host {host!r} not found in playground {name!r}")
    done = subprocess.run(["nsenter", f"--net={namespace}", "--", *program], check=False)
    raise SystemExit(done.returncode)


@command.command("hints", epilog=examples("shoal playground hints", "shoal playground hints --name test"))
@name_option
def hints(*, name: str) -> None:
    """Print example commands for the playground."""
    from cli.playground.current_state import inspect_playground
    from cli.playground.hints import hints as text
    from shoal.contexts.context_store import ContextStore, default_directory

    click.echo(text(inspect_playground(Layout(name=name), ContextStore(default_directory(os.environ)))))
