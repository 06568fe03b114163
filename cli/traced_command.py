"""The request that a command is, and its span where the environment switches tracing on."""

from collections.abc import Container, Generator, Mapping, Sequence
from contextlib import contextmanager

from shoal.telemetry.request_context import current_request, new_request, serve

_SWITCH = "OTEL_EXPORTER_OTLP_"
"""How the names of the variables begin that switch tracing on: without any, its modules are not loaded."""
GROUPS = frozenset(
    ("cluster", "config", "container", "context", "image", "manager", "network", "node", "secret", "service", "stack")
) | frozenset(("system", "task", "volume"))
"""Commands whose next word is a command too; that of others may be a name, or a secret."""


@contextmanager
def command_request(
    arguments: Sequence[str], environment: Mapping[str, str], commands: Container[str]
) -> Generator[None]:
    """Calls inside are of one request.

    Args:
        commands: names of the root command's.
    """
    former = current_request()
    serve(new_request())
    try:
        with _traced(arguments, environment, commands):
            yield
    finally:
        serve(former)


@contextmanager
def _traced(arguments: Sequence[str], environment: Mapping[str, str], commands: Container[str]) -> Generator[None]:
    if not any(name.startswith(_SWITCH) for name in environment):
        yield
        return
    from shoal.telemetry.tracing import span, start_tracing, stop_tracing

    start_tracing("shoal", environment)
    try:
        with span(span_name(arguments, commands), is_root=True):
            yield
    finally:
        stop_tracing()


def span_name(arguments: Sequence[str], commands: Container[str]) -> str:
    """The command without options and what it is about: "shoal service create"."""
    at = next((place for place, word in enumerate(arguments) if word in commands), None)
    if at is None:
        return "shoal"
    rest = arguments[at + 1 : at + 2] if arguments[at] in GROUPS else ()
    return " ".join(["shoal", arguments[at], *(word for word in rest if word.replace("-", "").isalpha())])
