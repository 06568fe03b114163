"""`shoal build …`: a command with a context, and beside it `build prune` and `build du`."""

import importlib
from typing import Any

import click

from cli.commands.build.build_image import build

PARTS = {"prune": "cli.commands.build.build_cache:prune", "du": "cli.commands.build.build_cache:disk_usage"}


class _BuildCommand(click.Command):
    """`build`, whose first word may be one of `PARTS` in place of a context (a directory of that name is `./prune`)."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if not args or args[0] not in PARTS:
            return super().make_context(info_name, args, parent, **extra)
        module, _, attribute = PARTS[args[0]].partition(":")
        part: click.Command = getattr(importlib.import_module(module), attribute)
        return part.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)


command = _BuildCommand(
    "build",
    params=build.params,
    callback=build.callback,
    help=build.help,
    epilog=build.epilog,
    short_help=build.short_help,
)
