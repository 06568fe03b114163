"""`python -m tests.chaos`: a run of a seed, or one that was run before. Wants root; `make chaos` is an hour of it."""

import argparse
import random
import sys
from pathlib import Path

from tests.chaos.report import report_text
from tests.chaos.run import ChaosOptions, run_chaos
from tests.chaos.schedule import make_schedule, read_schedule

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Exit code 1: an invariant was violated, or a fault could not be injected."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of the schedule; by default a new one")
    parser.add_argument("--minutes", type=float, default=60.0, help="for which faults are injected")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a schedule of an earlier run, or a part of it")
    parser.add_argument("--slowness", type=float, default=1.0, help="factor of time limits on a busy machine")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    schedule = read_schedule(options.replay) if options.replay else make_schedule(seed, options.minutes)
    output = _ROOT / "build" / "chaos" / str(schedule.seed)
    print(f"seed {schedule.seed}, {len(schedule.steps)} steps; files: {output}", flush=True)
    images = _ROOT / "build" / "images"
    report = run_chaos(ChaosOptions(schedule, output, images, options.slowness, options.keep))
    print(report_text(report))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
