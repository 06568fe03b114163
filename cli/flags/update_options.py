"""Update and rollback policies: `--update-…` and `--rollback-…`, with Docker's names."""

from collections.abc import Callable, Iterator

from cli.flags.value_options import Apply, ValueOption
from shoal.api.v1.service_pb2 import ServiceSpec, UpdateConfig
from shoal.spec_parsers.choices import parse_choice
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_duration_ms
from shoal.spec_parsers.update_policies import ACTIONS, ORDERS, ROLLBACK_ACTIONS, parse_parallelism, parse_ratio


def _update_options(part: str) -> Iterator[ValueOption]:
    def flag(name: str, metavar: str, text: str, change: Callable[[UpdateConfig, str], None]) -> ValueOption:
        return ValueOption(f"--{part}-{name}", metavar, text, _setter(part, change))

    def milliseconds(field: str) -> Callable[[UpdateConfig, str], None]:
        return lambda config, value: setattr(config, field, parse_duration_ms(value))

    def at_once(config: UpdateConfig, value: str) -> None:
        config.parallelism = parse_parallelism(value)

    def order(config: UpdateConfig, value: str) -> None:
        config.order = UpdateConfig.Order.ValueType(parse_choice(value, ORDERS))

    def action(config: UpdateConfig, value: str) -> None:
        allowed = ACTIONS if part == "update" else ROLLBACK_ACTIONS
        config.failure_action = UpdateConfig.FailureAction.ValueType(parse_choice(value, allowed))

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
    spec.update.canary = parse_count(value)


def _auto_promote(spec: ServiceSpec, value: str) -> None:
    spec.update.auto_promote = value == "true"


UPDATE_OPTIONS = (
    *_update_options("update"),
    ValueOption("--update-canary", "NUMBER", "Number of canary tasks to update first, before promotion.", _canary),
    ValueOption("--update-auto-promote", "", "Promote canaries automatically once they are available.", _auto_promote),
    *_update_options("rollback"),
)
