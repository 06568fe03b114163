"""Update and rollback policies: `--update-…` and `--rollback-…`, with Docker's names."""

from collections.abc import Callable, Iterator

from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig
from shoal.errors import InvalidInput
from shoal.spec_parsers.choices import Apply, ValueOption, parse_choice
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_duration_ms

ORDERS = {"stop-first": UpdateConfig.STOP_FIRST, "start-first": UpdateConfig.START_FIRST}
ACTIONS = {
    "rollback": UpdateConfig.ROLLBACK,
    "pause": UpdateConfig.PAUSE,
    "continue": UpdateConfig.CONTINUE,
}
ROLLBACK_ACTIONS = {name: number for name, number in ACTIONS.items() if name != "rollback"}


UNLIMITED_PARALLELISM = 1_000_000
"""As many tasks as a service may have: what 0 means in Docker's files and flags."""


def parse_parallelism(value: str) -> int:
    """Tasks at once; 0 is all of them.

    Raises:
        InvalidInput: it is no whole number.
    """
    return parse_count("parallelism", value) or UNLIMITED_PARALLELISM


def parse_ratio(value: str) -> float:
    """A share from 0 to 1.

    Raises:
        InvalidInput: it is not.
    """
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise InvalidInput(f"{value!r} must be a ratio from 0 to 1, such as 0.2")
    return found


def _update_options(part: str) -> Iterator[ValueOption]:
    def flag(name: str, metavar: str, text: str, change: Callable[[UpdateConfig, str], None]) -> ValueOption:
        return ValueOption(f"--{part}-{name}", metavar, text, _setter(part, change))

    def milliseconds(field: str) -> Callable[[UpdateConfig, str], None]:
        return lambda config, value: setattr(config, field, parse_duration_ms(value))

    def at_once(config: UpdateConfig, value: str) -> None:
        config.parallelism = parse_parallelism(value)

    def order(config: UpdateConfig, value: str) -> None:
        config.order = UpdateConfig.Order.ValueType(parse_choice("order", value, ORDERS))

    def action(config: UpdateConfig, value: str) -> None:
        allowed = ACTIONS if part == "update" else ROLLBACK_ACTIONS
        config.failure_action = UpdateConfig.FailureAction.ValueType(parse_choice("failure action", value, allowed))

    def most_failures(config: UpdateConfig, value: str) -> None:
        config.max_failure_ratio = parse_ratio(value)

    verb = "updated" if part == "update" else "rolled back"
    actions = ", ".join(ACTIONS if part == "update" else ROLLBACK_ACTIONS)
    yield flag("parallelism", "NUMBER", f"Maximum number of tasks {verb} at once (default 1); 0 = all.", at_once)
    yield flag("delay", "TIME", f"Delay between {part}s.", milliseconds("delay_ms"))
    yield flag("order", "ORDER", f"Order in which tasks are replaced or moved: {', '.join(ORDERS)}.", order)
    yield flag("monitor", "TIME", "Time to monitor each new task for failure (default 1s).", milliseconds("monitor_ms"))
    yield flag("failure-action", "ACTION", f"Action on failure: {actions}.", action)
    yield flag("max-failure-ratio", "SHARE", "Failure ratio to tolerate (default 0).", most_failures)
    yield flag(
        "progress-deadline", "TIME", "Maximum time without progress (default 10m); 0 = unlimited.",
        milliseconds("progress_deadline_ms"),
    )  # fmt: skip


def _setter(part: str, change: Callable[[UpdateConfig, str], None]) -> Apply:
    return lambda spec, value: change(getattr(spec, part), value)


def _canary(spec: ServiceSpec, value: str) -> None:
    spec.update.canary = parse_count("--update-canary", value)


def _auto_promote(spec: ServiceSpec, value: str) -> None:
    spec.update.auto_promote = value == "true"


UPDATE_OPTIONS = (
    *_update_options("update"),
    ValueOption("--update-canary", "NUMBER", "Number of canary tasks to update first, before promotion.", _canary),
    ValueOption("--update-auto-promote", "", "Promote canaries automatically once they are available.", _auto_promote),
    *_update_options("rollback"),
)
