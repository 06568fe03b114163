"""What a daemon logs."""

import pytest

from shoal.telemetry.log_settings import LogOptions, log_faults


@pytest.mark.parametrize(
    ("options", "json"),
    [(LogOptions(), False), (LogOptions(log_format="json"), True), (LogOptions(log_json=True), True)],
)
def test_json_by_either_option(options: LogOptions, json: bool) -> None:
    assert options.logs_json is json


def test_every_fault_names_its_option_and_what_is_right() -> None:
    assert not list(log_faults(LogOptions(log_level="error", log_format="json")))
    assert [str(each) for each in log_faults(LogOptions(log_level="loud", log_format="xml"))] == [
        'log-level: "loud" must be one of debug, info, warning, error',
        'log-format: "xml" must be one of text, json',
    ]
