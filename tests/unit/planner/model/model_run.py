"""A long run of the planner's models: `python -m tests.unit.planner.model.model_run --seconds 600`.

Reports how many clusters were played, in how many steps and passes of the planner, and what was found. Each finding is
the shortest sequence that Hypothesis could make of it; the exit code is 1 when there is one.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.unit.planner.model.model_cluster import Cluster
from tests.unit.planner.model.model_counts import counted, reached
from tests.unit.planner.model.test_planner_job_model import Batch

PORTION, STEPS = 40, 60


def main() -> int:
    """Play portions in turn until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_000)
    asked = parser.parse_args()
    ends, found = time.monotonic() + asked.seconds, 0
    for number, machine in enumerate(_in_turn()):
        if time.monotonic() >= ends:
            break
        found += not _play(machine, asked.seed + number)
    say(f"{counted()}; {found} findings (seed {asked.seed})")
    say(f"reached: {reached()}")
    return int(bool(found))


def _in_turn() -> Iterator[type[RuleBasedStateMachine]]:
    while True:
        yield Cluster
        yield Batch


def _play(machine: type[RuleBasedStateMachine], number: int) -> bool:
    chosen = settings(
        max_examples=PORTION,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(number)(machine), settings=chosen)
    except Exception:
        say(f"{machine.__name__}, seed {number}:\n{traceback.format_exc()}")
        return False
    return True


def say(text: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
