"""Names in layers: made safe, links followed inside, whiteouts told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.images.layer_paths import Bookkeeping, Opaque, Parts, Plain, Whiteout, kind_of, parts_of, resolve
from shoal.errors import InvalidInput

_part = st.sampled_from(["a", "b", "c", "d"])
_path = st.lists(_part, min_size=1, max_size=4).map(tuple)
_target = st.tuples(st.sampled_from(["", "/"]), st.lists(st.sampled_from(["a", "b", "..", ".", ""]), max_size=5)).map(
    lambda pair: pair[0] + "/".join(pair[1])
)


@given(st.text(alphabet="ab./\0\udcff", max_size=30))
def test_a_name_is_safe_or_refused(name: str) -> None:
    try:
        parts = parts_of(name)
    except InvalidInput:
        assert ".." in name.split("/") or "\0" in name
    else:
        assert not {"", ".", ".."} & set(parts)


@given(_path, st.dictionaries(_path, _target, max_size=6))
def test_what_is_resolved_has_no_link_on_it(path: Parts, links: dict[Parts, str]) -> None:
    try:
        found = resolve(path, links)
    except InvalidInput as error:
        assert "loop" in str(error)
    else:
        assert not {"", ".", ".."} & set(found)
        assert not any(found[:depth] in links for depth in range(1, len(found) + 1))


def test_links_lead_where_chroot_would_lead() -> None:
    links: dict[Parts, str] = {("lib",): "usr/lib", ("x", "up"): "../../../etc", ("abs",): "/var"}
    assert resolve(("lib", "a"), links) == ("usr", "lib", "a")
    assert resolve(("x", "up", "a"), links) == ("etc", "a")
    assert resolve(("abs", "a"), links) == ("var", "a")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("file", Plain()),
        (".whatever", Plain()),
        (".wh.gone", Whiteout("gone")),
        (".wh..hidden", Whiteout(".hidden")),
        (".wh..wh..opq", Opaque()),
        (".wh..wh.plnk", Bookkeeping()),
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
