"""Runs checks and prints each one's result by name."""

import time
from collections.abc import Callable, Sequence

Check = Callable[[], None]


def run_checks(checks: Sequence[Check], on_failure: Check = lambda: None) -> int:
    """A line for each check, and `N passed, N failed` at the end; how many failed.

    Args:
        on_failure: called after each check that failed.
    """
    failed = 0
    for check in checks:
        started = time.monotonic()
        try:
            check()
            verdict = "PASS"
        except Exception as error:  # a failed check must not hide the ones after it
            failed += 1
            verdict = f"FAIL: {error!r}"
        print(f"{check.__name__}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
        if verdict != "PASS":
            on_failure()
    print(f"{len(checks) - failed} passed, {failed} failed", flush=True)
    return failed
