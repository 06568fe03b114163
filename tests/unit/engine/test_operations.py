"""The table of operations is complete, and as the routes are."""

from pathlib import Path

from engine.operations import operations_table

ROOT = Path(__file__).parents[3]
OPERATIONS = Path(__file__).parent / "operations_1_50.txt"


def test_the_table_is_up_to_date() -> None:
    assert (ROOT / "engine" / "OPERATIONS.md").read_text() == operations_table()


def test_every_operation_of_the_description_has_a_route() -> None:
    table = operations_table()
    missing = [name for name in OPERATIONS.read_text().split() if f"| {name} |" not in table]
    assert missing == []
