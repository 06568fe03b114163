"""`shoal playground …`."""

import os
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import click

from cli.commands.arguments import examples
from cli.playground.layout import Layout
from cli.render.failure import Failed

EXAMPLES = """\b
Examples:
  shoal playground up --hosts 3
  shoal playground up --name other
  shoal playground exec h1 -- ip route
  shoal playground down
"""


@click.group("playground", epilog=EXAMPLES)
def command() -> None:
    """Run a whole cluster on this machine: each host is a network namespace."""


name_option = click.option("--name", default="shoal", metavar="NAME", help="Tells playgrounds apart (shoal).")


def playground(name: str, **plan: Any):  # type: ignore[no-untyped-def]  # imported late: it needs gRPC
    """The playground of this name, with this user's contexts.

    Args:
        plan: more of its layout; without a subnet, it takes the first one that is free.
    """
    from cli.contexts.contexts import Contexts, default_directory
    from cli.playground.playground import Playground

    if os.geteuid():
        raise Failed("a playground makes network namespaces and cgroups: only root can")
    return Playground(
        Layout(name=name, **plan),
        contexts=Contexts(default_directory(os.environ)),
        say=lambda line: click.echo(line, err=True),
        any_subnet="subnet" not in plan,
    )


@command.command("up", epilog=examples("shoal playground up", "shoal playground up --hosts 5 --name test"))
@click.option("--hosts", type=int, default=3, help="How many hosts (3).")
@click.option("--subnet", metavar="SUBNET", help="Of the hosts, a /24 (the first free one of 198.18.0.0/15).")
@name_option
def up(*, name: str, hosts: int, subnet: str | None) -> None:
    """Start a cluster and make its context the current one."""
    playground(name, hosts=hosts, **({"subnet": _subnet(subnet)} if subnet else {})).up()
    click.echo(f"playground {name}: {hosts} {'host is' if hosts == 1 else 'hosts are'} ready")


def _subnet(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise Failed(f"--subnet: {error}") from None


@command.command("down", epilog=examples("shoal playground down", "shoal playground down --name test"))
@name_option
def down(*, name: str) -> None:
    """End the cluster and remove every trace of it."""
    from cli.playground.remains import remains

    made = playground(name)
    was_there = bool(remains(made.layout))
    made.down()
    click.echo(f"playground {name}: gone" if was_there else f"playground {name}: is not up; nothing to remove")


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


@command.command("hints", epilog=examples("shoal playground hints", "shoal playground hints --name test"))
@name_option
def hints(*, name: str) -> None:
    """Print what to try next."""
    from cli.contexts.contexts import Contexts, default_directory
    from cli.playground.hints import hints as text
    from cli.playground.looking import look

    click.echo(text(look(Layout(name=name), Contexts(default_directory(os.environ)))))
