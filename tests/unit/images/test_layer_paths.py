"""Names in layers: made safe, whiteouts told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.images.layers.layer_paths import EntryKind, kind_of, path_parts
from shoal.errors import InvalidInput


@given(st.text(alphabet="ab./\0\udcff", max_size=30))
def test_a_name_is_safe_or_refused(name: str) -> None:
    try:
        parts = path_parts(name)
    except InvalidInput:
        assert ".." in name.split("/") or "\0" in name
    else:
        assert not {"", ".", ".."} & set(parts)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("file", EntryKind.REGULAR),
        (".whatever", EntryKind.REGULAR),
        (".wh.gone", EntryKind.WHITEOUT),
        (".wh..hidden", EntryKind.WHITEOUT),
        (".wh..wh..opq", EntryKind.OPAQUE),
        (".wh..wh.plnk", EntryKind.AUFS_METADATA),
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
        path_parts(name)
