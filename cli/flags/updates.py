"""Flags of how updates go, and rollbacks: `--update-…` and `--rollback-…`. Docker's names and forms."""

from collections.abc import Callable, Iterator

from cli.flags.numbers import count
from cli.flags.scalars import Apply, Scalar, choice
from cli.render.units import parse_duration_ms
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig
from shoal.errors import InvalidInput

ORDERS = {"stop-first": UpdateConfig.STOP_FIRST, "start-first": UpdateConfig.START_FIRST}
ACTIONS = {
    "rollback": UpdateConfig.ROLLBACK,
    "pause": UpdateConfig.PAUSE,
    "continue": UpdateConfig.CONTINUE,
}
ROLLBACK_ACTIONS = {name: number for name, number in ACTIONS.items() if name != "rollback"}


ALL_AT_ONCE = 1_000_000
"""As many tasks as a service may have: what 0 means in Docker's files and flags."""


def parallelism(value: str) -> int:
    """Tasks at once; 0 is all of them.

    Raises:
        InvalidInput: it is no whole number.
    """
    return count("parallelism", value) or ALL_AT_ONCE


def ratio(value: str) -> float:
    """A share from 0 to 1.

    Raises:
        InvalidInput: it is not.
    """
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise InvalidInput(f"{value!r} is not a share from 0 to 1, like 0.2")
    return found


def _flags(part: str) -> Iterator[Scalar]:
    def flag(name: str, metavar: str, text: str, change: Callable[[UpdateConfig, str], None]) -> Scalar:
        return Scalar(f"--{part}-{name}", metavar, text, _on(part, change))

    def milliseconds(field: str) -> Callable[[UpdateConfig, str], None]:
        return lambda config, value: setattr(config, field, parse_duration_ms(value))

    def at_once(config: UpdateConfig, value: str) -> None:
        config.parallelism = parallelism(value)

    def order(config: UpdateConfig, value: str) -> None:
        config.order = UpdateConfig.Order.ValueType(choice("order", value, ORDERS))

    def action(config: UpdateConfig, value: str) -> None:
        allowed = ACTIONS if part == "update" else ROLLBACK_ACTIONS
        config.failure_action = UpdateConfig.FailureAction.ValueType(choice("failure action", value, allowed))

    def most_failures(config: UpdateConfig, value: str) -> None:
        config.max_failure_ratio = ratio(value)

    verb = "replaced" if part == "update" else "returned"
    actions = ", ".join(ACTIONS if part == "update" else ROLLBACK_ACTIONS)
    yield flag("parallelism", "NUMBER", f"Tasks {verb} at once (1); 0 is all.", at_once)
    yield flag("delay", "TIME", "Wait between replacements.", milliseconds("delay_ms"))
    yield flag("order", "ORDER", f"Replace and move tasks by: {', '.join(ORDERS)}.", order)
    yield flag("monitor", "TIME", "How long a new task runs before it counts (1s).", milliseconds("monitor_ms"))
    yield flag("failure-action", "ACTION", f"When tasks fail: {actions}.", action)
    yield flag("max-failure-ratio", "SHARE", "Share of the tasks that may fail (0).", most_failures)
    yield flag(
        "progress-deadline", "TIME", "Longest time without progress (10m); 0 = unlimited.",
        milliseconds("progress_deadline_ms"),
    )  # fmt: skip


def _on(part: str, change: Callable[[UpdateConfig, str], None]) -> Apply:
    return lambda spec, value: change(getattr(spec, part), value)


def _canary(spec: ServiceSpec, value: str) -> None:
    spec.update.canary = count("--update-canary", value)


def _auto_promote(spec: ServiceSpec, value: str) -> None:
    spec.update.auto_promote = value == "true"


UPDATE_SCALARS = (
    *_flags("update"),
    Scalar("--update-canary", "NUMBER", "Replace so many first, then wait for promotion.", _canary),
    Scalar("--update-auto-promote", "", "Promote the canaries once they count.", _auto_promote),
    *_flags("rollback"),
)
