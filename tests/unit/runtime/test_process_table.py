"""What ps shows, cut down to a container's processes."""

import pytest

from agent.runtime.live.process_table import MAX_ARGS, parse_table, process_table
from shoal.errors import InvalidInput

TEXT = """\
UID          PID    PPID CMD
root           1       0 /sbin/init
app           20       1 server --name a b
app           21      20 worker
"""


def test_rows_of_its_processes_alone() -> None:
    table = parse_table(TEXT, {20, 21, 99})
    assert table.titles == ("UID", "PID", "PPID", "CMD")
    assert table.rows == (("app", "20", "1", "server --name a b"), ("app", "21", "20", "worker"))
    assert parse_table(TEXT, set()).rows == ()


@pytest.mark.parametrize("text", ["", "CMD\n/sbin/init\n"])
def test_output_without_process_ids(text: str) -> None:
    with pytest.raises(InvalidInput, match="no column PID"):
        parse_table(text, {1})


def test_too_many_arguments() -> None:
    with pytest.raises(InvalidInput, match="too many"):
        process_table({1}, ["-e"] * (MAX_ARGS + 1))
