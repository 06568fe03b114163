"""A container's processes as ps(1) shows them. Docker's `top` has the same form: titles, and rows of cells."""

import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shoal.errors import InvalidInput, Unavailable

DEFAULT_ARGS = ("-ef",)
MAX_ARGS = 32
_SECONDS = 10.0


@dataclass(frozen=True)
class ProcessTable:
    """`rows` have as many cells as there are titles; the last cell may contain blanks."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def process_table(pids: Collection[int], ps_args: Sequence[str]) -> ProcessTable:
    """Rows of these processes of the host. Blocks.

    Args:
        ps_args: of ps(1); none means `DEFAULT_ARGS`.
    Raises:
        InvalidInput: ps does not accept them, or shows no column PID. Unavailable: ps cannot be run.
    """
    if len(ps_args) > MAX_ARGS:
        raise InvalidInput(f"ps_args: too many ({len(ps_args)}); the maximum is {MAX_ARGS}")
    arguments = list(ps_args or DEFAULT_ARGS)
    # What "-o pid" alone selects are the processes of ps's own terminal; "-q" does not go with BSD's form, "aux".
    done = _run([*arguments, "-q", ",".join(map(str, pids)) or "1"])
    if done.returncode:
        done = _run(arguments)
    if done.returncode:
        raise InvalidInput(f"ps: {' '.join(done.stderr.split())[:200] or 'failed'}")
    return parse_table(done.stdout, pids)


def _run(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    command = ["ps", *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"ps (procps) cannot be run on this node: {error}") from error


def parse_table(text: str, pids: Collection[int]) -> ProcessTable:
    """The rows of ps's output whose column PID is one of these. Pure.

    Raises:
        InvalidInput: there is no such column.
    """
    lines = text.splitlines()
    titles = tuple(lines[0].split()) if lines else ()
    if "PID" not in titles:
        raise InvalidInput("ps_args: the output of ps has no column PID")
    place = titles.index("PID")
    rows = (tuple(line.split(maxsplit=len(titles) - 1)) for line in lines[1:])
    found = (row for row in rows if len(row) > place and row[place].isdigit() and int(row[place]) in pids)
    return ProcessTable(titles, tuple(found))
