"""Lines of an image's history as BuildKit writes them. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shoal.dockerfile.evaluation.global_scope import ResolvedArgument
from shoal.dockerfile.image_settings import Settings
from shoal.dockerfile.instructions import CopyFlags, Healthcheck

_SUFFIX = " # buildkit"
_UNITS = ((3_600_000, "h"), (60_000, "m"))


def run_text(arguments: Sequence[str], declared: Mapping[str, str]) -> str:
    """`RUN |1 version=2 /bin/sh -c make # buildkit`: the ARGs in scope, then the command."""
    pairs = [f"{name}={value}" for name, value in declared.items()]
    prefix = [f"|{len(pairs)}", *pairs] if pairs else []
    return " ".join(("RUN", *prefix, *arguments)) + _SUFFIX


def copy_text(name: str, sources: Sequence[str], destination: str, flags: CopyFlags) -> str:
    """`COPY --chown=1:1 a b /c/ # buildkit`; where the files are from is not in it."""
    options = [f"--{key}={value}" for key, value in (("chown", flags.chown), ("chmod", flags.chmod)) if value]
    options += [f"--{key}" for key, is_set in (("link", flags.link), ("parents", flags.parents)) if is_set]
    options += [f"--exclude={pattern}" for pattern in flags.excludes]
    return " ".join((name, *options, *sources, destination)) + _SUFFIX


def argument_text(arguments: Sequence[ResolvedArgument]) -> str:
    """`ARG a=1 b`."""
    return " ".join(("ARG", *(argument.text for argument in arguments)))


def pairs_text(name: str, pairs: Mapping[str, str]) -> str:
    """`ENV a=1 b=2`."""
    return " ".join((name, *(f"{key}={value}" for key, value in pairs.items())))


def command_text(name: str, words: Sequence[str]) -> str:
    """`CMD ["a" "b"]`."""
    return f"{name} [{' '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"


def list_text(name: str, words: Sequence[str]) -> str:
    """`EXPOSE [80/tcp 90/udp]`."""
    return f"{name} [{' '.join(words)}]"


def healthcheck_text(settings: Settings, instruction: Healthcheck) -> str:
    """`HEALTHCHECK {Test:[CMD-SHELL a] Interval:1s …}`."""
    check: Mapping[str, Any] = settings["Healthcheck"]
    times = {
        "Interval": instruction.interval_ms,
        "Timeout": instruction.timeout_ms,
        "StartPeriod": instruction.start_period_ms,
        "StartInterval": instruction.start_interval_ms,
    }
    fields = [f"Test:[{' '.join(check['Test'])}]", *(f"{name}:{go_duration(value)}" for name, value in times.items())]
    return f"HEALTHCHECK {{{' '.join((*fields, f'Retries:{instruction.retries}'))}}}"


def go_duration(milliseconds: int) -> str:
    """As Go's `time.Duration` prints it: `1m30s`, `100ms`, `1h0m0s`."""
    if milliseconds and milliseconds < 1_000:
        return f"{milliseconds}ms"
    parts: list[str] = []
    for size, unit in _UNITS:
        count, milliseconds = divmod(milliseconds, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    seconds = f"{milliseconds / 1_000:.3f}".rstrip("0").rstrip(".")
    return "".join((*parts, f"{seconds}s"))
