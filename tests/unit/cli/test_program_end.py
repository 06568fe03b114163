"""The installed command ends at once, with its code, and with all that it wrote."""

import subprocess
import sys

SCRIPT = """
import os, sys, threading
from cli.entry_point import program
threading.Thread(target=threading.Event().wait).start()
{before}
sys.argv[1:] = {arguments!r}
program()
"""


def ended(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """What came of it, in a process with a thread that never ends."""
    script = SCRIPT.format(before=before, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)


def test_it_waits_for_no_thread_and_all_is_written() -> None:
    done = ended("--help", before="print('before', end='')")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("beforeUsage: shoal") and "Exit codes:" in done.stdout


def test_it_ends_with_the_code_of_the_error() -> None:
    done = ended("nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("error: No such command 'nonsense'")


def test_a_reader_that_has_gone_is_no_failure() -> None:
    done = ended("completion", "bash", before="there, here = os.pipe(); os.dup2(here, 1); os.close(there)")
    assert (done.returncode, done.stderr) == (0, "")


def test_output_that_is_lost_is_a_failure() -> None:
    full = (
        "from cli.entry_point import exit_process; "
        "sys.stdout = open('/dev/full', 'w'); sys.stdout.write('x'); exit_process(0)"
    )
    assert ended(before=full).returncode == 1


def test_a_full_disk_is_told_in_a_line() -> None:
    done = ended("--help", before="sys.stdout = open('/dev/full', 'w', buffering=1)")
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")
