"""References against vectors that the Go reference implementation (distribution/reference) produced."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InvalidInput
from shoal.image_reference import ImageReference, domains_of, parse

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "reference_vectors.json").read_text())
GOOD = [vector for vector in VECTORS if not vector["error"]]
BAD = [vector for vector in VECTORS if vector["error"]]


def test_the_vectors_are_there() -> None:
    assert len(GOOD) > 200
    assert len(BAD) > 100


@pytest.mark.parametrize("vector", GOOD, ids=lambda v: v["input"][:60])
def test_good_references_are_normalised_as_docker_does(vector: dict[str, Any]) -> None:
    reference = parse(vector["input"])
    assert reference == ImageReference(vector["domain"], vector["path"], vector["tag"], vector["digest"])
    assert str(reference) == vector["normalised"]
    assert reference.familiar == vector["familiar"]


@pytest.mark.parametrize("vector", BAD, ids=lambda v: v["input"][:60])
def test_bad_references_are_refused_in_one_line(vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(vector["input"])
    assert "\n" not in str(caught.value).replace(vector["input"], "")


@pytest.mark.parametrize("vector", GOOD, ids=lambda v: v["input"][:60])
def test_the_normalised_form_is_a_fixed_point(vector: dict[str, Any]) -> None:
    reference = parse(vector["input"])
    assert parse(str(reference)) == reference
    if len(reference.familiar) != 64:
        assert parse(reference.familiar) == reference


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_an_error(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidInput:
        return
    assert parse(str(reference)) == reference


def test_target_and_digest() -> None:
    plain = parse("registry:5000/hello")
    assert plain.target == "latest"
    assert str(plain.with_default_tag()) == "registry:5000/hello:latest"
    pinned = parse("registry:5000/hello:1").with_digest("sha256:" + "a" * 64)
    assert pinned.target == "sha256:" + "a" * 64
    assert str(pinned) == "registry:5000/hello:1@sha256:" + "a" * 64
    with pytest.raises(InvalidInput):
        plain.with_digest("md5:1")


def test_domains_are_named_once_in_order_and_what_is_no_reference_has_none() -> None:
    assert domains_of(["registry:5000/a", "web:1", "not a reference", "", "registry:5000/b"]) == [
        "registry:5000",
        "docker.io",
    ]
