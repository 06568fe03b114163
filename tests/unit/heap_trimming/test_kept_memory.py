"""Memory for large messages stays with the process."""

import subprocess
import sys

ROUNDS = 200
PROGRAM = f"""
import resource
from shoal.daemons.heap_trimming import keep_freed_memory
keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    messages = [b"x" * (100_000 + number) for number in range(10)]
    del messages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_pages_of_large_messages_do_not_come_and_go() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 10 * ROUNDS
