"""One target under libFuzzer: `python -m tests.fuzz.fuzz_one TOPIC.FUNCTION [libFuzzer's arguments]`."""

import sys

import atheris

from tests.fuzz.targets import of_topic

OURS = ["shoal", "manager", "agent", "cli", "engine"]
"""What coverage guides by; libraries' parsers have fuzzers of their own, and instrumenting them takes minutes."""


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=OURS):
        (target,) = (each for each in of_topic(name.partition(".")[0]) if each.name == name)
    atheris.Setup(sys.argv, target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
