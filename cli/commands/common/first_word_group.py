"""A group of commands of which one is meant when the first word names none: `backup FILE` is `backup create FILE`."""

from typing import Any

import click


class FirstWordGroup(click.Group):
    """A group with a default command, which gets all arguments unless the first one is a command or asks for help.

    Args:
        default: its name.
    """

    def __init__(self, *arguments: Any, default: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self._default, *args]
        return super().parse_args(ctx, args)
