"""Options of commands that attach: `run` and `start`."""

from collections.abc import Collection, Sequence

import click

from shoal.detach_keys import DEFAULT
from shoal.errors import Fault

STREAMS = ("stdin", "stdout", "stderr")

detach_keys_option = click.option(
    "--detach-keys", default=DEFAULT, metavar="KEYS", help=f"Key sequence for detaching (default {DEFAULT})."
)
sig_proxy_option = click.option(
    "--sig-proxy/--no-sig-proxy", default=True, help="Forward signals to the program (default true)."
)


def attached_streams(given: Sequence[str], *, interactive: bool, detach: bool) -> tuple[Collection[str], list[Fault]]:
    """The streams that `--attach` names; without it the output, and the input with `--interactive`.

    Returns:
        The streams, and what is wrong with the flags.
    """
    names = [name.lower() for name in given]
    faults = [
        Fault("", f"--attach: {name!r} must be one of {', '.join(map(str.upper, STREAMS))}")
        for name in given
        if name.lower() not in STREAMS
    ]
    if detach and given:
        faults.append(Fault("", "--detach cannot be combined with --attach"))
    if detach:
        return (), faults
    return (names or ("stdout", "stderr", *(("stdin",) if interactive else ()))), faults
