"""Command groups that import a command only when it is called, which keeps the start of the program fast."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that knows its commands by name; its help needs none of them.

    Args:
        parts: name: (module, or "module:attribute"; one line of help). Without an attribute it is `command`.
        aliases: other name: name; the help does not show them.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        parts: Mapping[str, tuple[str, str]],
        aliases: Mapping[str, str] = MappingProxyType({}),
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self._commands = parts
        self._aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = self._aliases.get(cmd_name, cmd_name)
        if cmd_name not in self._commands:
            return None
        module, _, attribute = self._commands[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands.items()])
