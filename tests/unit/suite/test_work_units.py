"""What stays together when tests are given to workers."""

import pytest

from tests.work_units import work_unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tests/contract/store/test_snapshots.py::test_a", "tests/contract/store/test_snapshots.py::test_b[x::y]"),
        (
            "tests/integration/cluster/nodes/test_drain.py::test_a",
            "tests/integration/cluster/volumes/test_b.py::test_b",
        ),
        (
            "tests/integration/engine/test_a.py::test_a[one-host]",
            "tests/integration/engine/test_b.py::test[x-one-host]",
        ),
    ],
)
def test_tests_that_share_something_stay_together(one: str, other: str) -> None:
    assert work_unit(one) == work_unit(other)


def test_kinds_of_a_shared_cluster_and_modules_are_units_of_their_own() -> None:
    module = "tests/integration/engine/test_streams.py"
    tests = [
        f"{module}::test_a[one-host]",
        f"{module}::test_a[three-hosts]",
        f"{module}::test_b",
        "tests/a/test_b.py::c",
    ]
    assert len({work_unit(test) for test in tests}) == len(tests)
