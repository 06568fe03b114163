"""Boolean flags with a value, as in Go programs: `--detach=false`, `-d=0`, `--init=true`. click has none."""

from collections.abc import Sequence

import click

from shoal.spec_parsers.go_booleans import GO_BOOLEANS


def normalize_switches(command: click.Command, words: Sequence[str], context: click.Context) -> list[str]:
    """The words of a command, with `--flag=true` as `--flag`, and `--flag=false` as `--no-flag` or left out.

    Args:
        words: what follows the command's name; what follows a command below it is that one's.
    Raises:
        BadOptionUsage: a switch has a value that is neither true nor false.
    """
    switches = {name: option for option in _options(command) if option.is_flag for name in _names(option)}
    valued = {name for option in _options(command) if not option.is_flag for name in _names(option)}
    made: list[str] = []
    at = 0
    while at < len(words):
        word, at = words[at], at + 1
        name, sign, value = word.partition("=")
        if word == "--":
            return [*made, word, *words[at:]]
        if word in valued:
            made += words[at - 1 : at + 1]
            at += 1
        elif sign and name in switches:
            # The later word counts: what was switched on before is off again.
            made = [each for each in made if each not in _names(switches[name])]
            made += _replacement(switches[name], name, value, context)
        elif not word.startswith("-") and (below := _subcommand(command, word, context)) is not None:
            return [*made, word, *normalize_switches(below, words[at:], context)]
        elif not word.startswith("-") and not command.context_settings.get("allow_interspersed_args", True):
            return [*made, word, *words[at:]]
        else:
            made.append(word)
    return made


def _options(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option)]


def _names(option: click.Option) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _replacement(option: click.Option, name: str, value: str, context: click.Context) -> list[str]:
    enabled = GO_BOOLEANS.get(value)
    if enabled is None:
        raise click.BadOptionUsage(name, f"{name}: {value!r} must be true or false", context)
    if enabled:
        return [name]
    others = option.opts if name in option.secondary_opts else option.secondary_opts
    return others[:1]


def _subcommand(command: click.Command, name: str, context: click.Context) -> click.Command | None:
    return command.get_command(context, name) if isinstance(command, click.Group) else None
