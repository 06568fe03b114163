"""How long a stop waits before it kills."""

from engine.handlers.containers.container_run_handlers import grace_ms


def test_seconds_of_a_request_are_kept_and_cut_at_what_managers_take() -> None:
    assert [grace_ms(seconds) for seconds in (0, 1, 10)] == [0, 1000, 10_000]
    assert grace_ms(10**12) == 366 * 24 * 3600 * 1000


def test_less_than_none_never_kills() -> None:
    assert grace_ms(-1) == grace_ms(-5) == -1
