"""Whatever a file holds, it becomes specs or faults of one line each: never another error."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.compose.load import load_documents
from shoal.compose.reading.yaml_document import parse_document
from shoal.compose.schema_check import schema
from shoal.errors import InvalidInput

KEYS = sorted(schema()["definitions"]["service"]["properties"])
WORDS = st.sampled_from(
    ["", "a", "b", "0", "-1", "80:80", "./x:/y", "${A:-b}", "${", "$", "1s", "10M", "no", "always", "self.yaml", "a=b"]
)
SCALARS = WORDS | st.none() | st.booleans() | st.integers(-5, 70_000) | st.floats(allow_nan=False) | st.just(10**30)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)
NEARLY_VALID = st.builds(lambda key, value: {"image": "x", key: value}, st.sampled_from(KEYS), VALUES)
SERVICE = NEARLY_VALID | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)
FILE = st.fixed_dictionaries(
    {"services": st.dictionaries(st.sampled_from(["a", "b"]), SERVICE, max_size=2) | VALUES},
    optional=dict.fromkeys(("include", "networks", "volumes", "secrets", "configs", "name", "x-a", "models"), VALUES),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FILE, min_size=1, max_size=2))
def test_specs_or_faults(files: list[dict[str, Any]]) -> None:
    documents = [
        parse_document(Path(f"/nowhere/{number}.yaml"), yaml.safe_dump(file)) for number, file in enumerate(files)
    ]
    try:
        project = load_documents("shop", documents, {"A": "1"}, Path("/nowhere"), profiles=["a"]).checked().project
    except InvalidInput as error:
        assert error.faults
        assert all(fault.message for fault in error.faults)
    else:
        assert project.services
