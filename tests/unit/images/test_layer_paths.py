"""Names in layers: made safe, whiteouts told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.images.layers.paths import Kind, kind_of, parts_of
from shoal.errors import InvalidInput


@given(st.text(alphabet="ab./\0\udcff", max_size=30))
def test_a_name_is_safe_or_refused(name: str) -> None:
    try:
        parts = parts_of(name)
    except InvalidInput:
        assert ".." in name.split("/") or "\0" in name
    else:
        assert not {"", ".", ".."} & set(parts)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("file", Kind.PLAIN),
        (".whatever", Kind.PLAIN),
        (".wh.gone", Kind.WHITEOUT),
        (".wh..hidden", Kind.WHITEOUT),
        (".wh..wh..opq", Kind.OPAQUE),
        (".wh..wh.plnk", Kind.BOOKKEEPING),
    ],
)
def test_whiteouts(name: str, kind: object) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_whiteouts_of_nothing(name: str) -> None:
    with pytest.raises(InvalidInput):
        kind_of(name)


@pytest.mark.parametrize("name", ["n" * 256, "é" * 128, "a/" * 2100, "a\0b"])
def test_names_that_no_file_system_takes(name: str) -> None:
    with pytest.raises(InvalidInput):
        parts_of(name)
