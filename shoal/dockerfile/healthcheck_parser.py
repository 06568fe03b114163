"""HEALTHCHECK. Pure. Dockerfile reference, "HEALTHCHECK"."""

from shoal.dockerfile import arguments
from shoal.dockerfile.builder_flags import FlagKind
from shoal.dockerfile.instructions import Command, Healthcheck, Instruction
from shoal.dockerfile.lines import split_instruction
from shoal.dockerfile.parsed_arguments import Arguments
from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_duration_ms

HEALTHCHECK_FLAGS = {name: FlagKind() for name in ("interval", "timeout", "start-period", "start-interval", "retries")}
_MAX_RETRIES = 1_000_000


def parse_healthcheck(given: Arguments) -> Instruction:
    """NONE, or CMD with its times. Raises InvalidInput."""
    kind, rest = split_instruction(given.require_text())
    if kind == "none":
        if rest:
            raise InvalidInput("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(given.origin, None)
    if kind != "cmd":
        raise InvalidInput(f"Unknown type {kind.upper()[:40]!r} in HEALTHCHECK (try CMD)")
    command = arguments.command(rest)
    if not rest or not command.words:
        raise InvalidInput("Missing command after HEALTHCHECK CMD")
    return _with_times(given, command)


def _with_times(given: Arguments, command: Command) -> Healthcheck:
    return Healthcheck(
        given.origin,
        command,
        interval_ms=_duration(given, "interval"),
        timeout_ms=_duration(given, "timeout"),
        start_period_ms=_duration(given, "start-period"),
        start_interval_ms=_duration(given, "start-interval"),
        retries=_retries(given),
    )


def _duration(given: Arguments, flag: str) -> int:
    text = given.flags.text(flag)
    try:
        return parse_duration_ms(text) if text else 0
    except InvalidInput as error:
        raise InvalidInput(f"--{flag}: {error}") from error


def _retries(given: Arguments) -> int:
    text = given.flags.text("retries", "0")
    if not text.isdecimal() or int(text[:10]) > _MAX_RETRIES:
        raise InvalidInput(f"--retries must be a number from 0 to {_MAX_RETRIES}, not {text[:40]!r}")
    return int(text)
