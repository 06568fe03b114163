"""`python -m tests.fuzz.run`: the fuzz targets, coverage-guided, for a time that they share; what they find is kept."""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import FuzzTarget, targets

DIRECTORY = Path("build/fuzz")
CASE_SECONDS = 10
MEMORY_MIB = 1024
MAX_BYTES = 1 << 16
_DONE = re.compile(r"Done (\d+) runs")
_PROGRESS = re.compile(r"^#(\d+)\s", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What came of one target."""

    target: FuzzTarget
    cases: int
    failed: bool
    output: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when a target failed."""
    options = _parser().parse_args(arguments)
    try:
        chosen = targets(options.targets)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(each.name for each in chosen))
        return 0
    if options.replay is not None:
        for each in chosen:
            each.run(options.replay.read_bytes())
        return 0
    return fuzz(chosen, options.seconds, options.jobs)


def fuzz(chosen: Sequence[FuzzTarget], seconds: float, jobs: int) -> int:
    """Give each target its share of the time; say what each did."""
    share = max(1, round(seconds * jobs / len(chosen)))
    begun = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda target: run_one(target, share), chosen))
    cases = sum(each.cases for each in results)
    found = [each for each in results if each.failed]
    print(f"{cases:,} cases of {len(chosen)} targets in {time.monotonic() - begun:.0f} s, {len(found)} failed")
    return 1 if found else 0


def run_one(target: FuzzTarget, seconds: int) -> Result:
    """One target in a process of its own."""
    corpus, kept = DIRECTORY / "corpus" / target.name, DIRECTORY / "found" / target.name
    for directory in (corpus, kept):
        directory.mkdir(parents=True, exist_ok=True)
    for example in target.examples:
        (corpus / hashlib.sha256(example).hexdigest()[:16]).write_bytes(example)
    command = [sys.executable, "-m", "tests.fuzz.fuzz_one", target.name, str(corpus)]
    command += [f"-max_total_time={seconds}", f"-artifact_prefix={kept}/", f"-timeout={CASE_SECONDS}"]
    command += [f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={MAX_BYTES}", "-print_final_stats=0"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    output = done.stdout + done.stderr
    result = Result(target, _cases(output), done.returncode != 0, output)
    print(f"{target.name}: {result.cases:,} cases" + (f", FAILED, kept in {kept}" if result.failed else ""), flush=True)
    if result.failed:
        print(output[-4000:], flush=True)
    return result


def _cases(output: str) -> int:
    if done := _DONE.search(output):
        return int(done.group(1))
    return max((int(number) for number in _PROGRESS.findall(output)), default=0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="topics or TOPIC.FUNCTION (default: all)")
    parser.add_argument("--seconds", type=float, default=3600.0, help="for all targets together (3600)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the targets on one input, without atheris")
    return parser


if __name__ == "__main__":
    sys.exit(main())
