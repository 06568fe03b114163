"""Compose files in the spirit of the specification's examples, each with the specs that it has to become.

SHOAL_WRITE_CORPUS=1 writes the expected specs anew; read the difference before committing it.
"""

import json
import os
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from shoal.compose.load import load_files

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path.name for path in CORPUS.glob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_a_file_becomes_the_specs_that_are_expected(name: str) -> None:
    project = load_files("corpus", [CORPUS / name], {"DATABASE": "main"}).checked().project
    made = {
        kind: [MessageToDict(each, preserving_proto_field_name=True) for each in specs]
        for kind, specs in (("services", project.services), ("networks", project.networks))
    }
    expected = (CORPUS / name).with_suffix(".json")
    if os.environ.get("SHOAL_WRITE_CORPUS"):
        expected.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    assert made == json.loads(expected.read_text())
    assert project.warnings == ()
