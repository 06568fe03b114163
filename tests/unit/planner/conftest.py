"""Reports at the end of a run how far the models have gone."""

import pytest

from tests.unit.planner.model.model_counts import COUNTED, counted, reached


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTED:
        terminalreporter.write_line(f"models of the planner: {counted()}")
        terminalreporter.write_line(f"reached: {reached()}")
