"""Rows of `shoal stats`."""

from cli.commands.stats import COLUMNS, rows
from cli.fields.row_fields import STATS
from cli.render.format_template import row_record
from shoal.api.v1.control_pb2 import StatsResponse


def test_what_a_container_uses() -> None:
    response = StatsResponse()
    task = response.tasks.add(task_id="t", name="db", node_hostname="h2", nano_cpus=1_500_000_000, pids=3)
    task.memory_bytes, task.limit_memory_bytes = 64 << 20, 128 << 20
    for received, sent in ((1000, 10), (500, 5)):
        task.counters.links.add(received_bytes=received, sent_bytes=sent)
    task.counters.blocks.add(read_bytes=4_000_000, written_bytes=0)
    (row,) = rows(response)
    assert [row[column] for column in COLUMNS] == [
        "db", "h2", "150.0%", "64 MiB", "128 MiB", "50.0%", "1.5kB / 15B", "4MB / 0B", 3,
    ]  # fmt: skip
    record = row_record(row, STATS)
    assert (record["NetIO"], record["BlockIO"], record["MemUsage"]) == ("1.5kB / 15B", "4MB / 0B", "64 MiB / 128 MiB")


def test_without_a_limit() -> None:
    response = StatsResponse()
    response.tasks.add(task_id="t", name="web.1.t", memory_bytes=5)
    (row,) = rows(response)
    assert (row["name"], row["limit"], row["percent"]) == ("web.1", "", "")
    assert row_record(row, STATS)["MemPerc"] == "--"
