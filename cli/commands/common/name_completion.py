"""Shell completion of names. Apart from where they come from: every command has it, and few runs of one complete."""

from collections.abc import Callable
from contextlib import suppress

import click

from cli.client import Client
from shoal.errors import PermissionDenied, ShoalError, Unavailable

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(*kinds: str) -> Complete:
    """Completes names of these kinds of objects; nothing when the cluster does not respond."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from cli.commands.common.name_sources import NAME_SOURCES

        known: set[str] = set()
        try:
            with Client.of_context(ctx.find_root().params.get("context_name")) as client:
                for kind in kinds:
                    with suppress(PermissionDenied, Unavailable):  # a manager of an earlier version has no containers
                        known.update(NAME_SOURCES[kind](client))
        except ShoalError:
            return []
        return sorted(name for name in known if name and name.startswith(incomplete))

    return complete
