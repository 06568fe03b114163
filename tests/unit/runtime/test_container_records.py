"""The record of a container, as other versions of the agent may have written it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from agent.runtime.container_paths import ContainerRecord, read_record, write_record

RECORD = ContainerRecord("t", "crun", 10, 20, 30, 40, 50, 60, 7, "c", ("/layer", "/below"))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD


def test_what_a_newer_version_added_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({**asdict(RECORD), "more": [1]}))
    assert read_record(tmp_path) == RECORD


def test_what_an_older_version_did_not_write_has_its_default(tmp_path: Path) -> None:
    stored = asdict(RECORD)
    del stored["container_id"], stored["layers"]
    (tmp_path / "record.json").write_text(json.dumps(stored))
    assert read_record(tmp_path) == replace(RECORD, container_id="", layers=())
