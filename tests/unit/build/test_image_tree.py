"""The differ of the corpus: what it makes of layers, and what it says of two images."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence

from tests.integration.build.corpus.image_tree import ImageTree, differences, read_image

Layer = Sequence[tuple[str, str, str]]
"""Name, kind ("file", "directory", "link", "hard"), content or target."""
_TYPES = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}


def _add(tar: tarfile.TarFile, name: str, content: bytes, kind: str = "file") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = _TYPES[kind], 0o755 if kind == "directory" else 0o644
    if kind in ("link", "hard"):
        info.linkname, content = content.decode(), b""
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def image(*layers: Layer, settings: Mapping[str, object] | None = None) -> ImageTree:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        names = []
        for number, layer in enumerate(layers):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for name, kind, content in layer:
                    _add(archive, name, content.encode(), kind)
            names.append(f"{number}/layer.tar")
            _add(tar, names[-1], inner.getvalue())
        _add(tar, "c.json", json.dumps({"config": dict(settings or {})}).encode())
        _add(tar, "manifest.json", json.dumps([{"Config": "c.json", "Layers": names}]).encode())
    buffer.seek(0)
    return read_image(buffer)


def paths(*layers: Layer) -> dict[str, str]:
    return {path: each.described() for path, each in image(*layers).files.items()}


BELOW: Layer = [("d", "directory", ""), ("d/a", "file", "1"), ("d/b", "file", "2"), ("l", "link", "d/a")]


def test_layers_are_on_each_other() -> None:
    assert paths(BELOW) == {
        "d": "directory 755 0:0",
        "d/a": "file 644 0:0 1",
        "d/b": "file 644 0:0 2",
        "l": "link d/a",
    }
    assert paths(BELOW, [("d/a", "file", "3")])["d/a"] == "file 644 0:0 3"
    assert "d/a" not in paths(BELOW, [("d/.wh.a", "file", "")])
    assert sorted(paths(BELOW, [(".wh.d", "file", "")])) == ["l"]
    assert sorted(paths(BELOW, [("d", "directory", ""), ("d/.wh..wh..opq", "file", ""), ("d/c", "file", "")])) == [
        "d",
        "d/c",
        "l",
    ]
    assert sorted(paths(BELOW, [("d", "file", "x")])) == ["d", "l"]
    assert paths(BELOW, [("l", "directory", "")])["l"] == "directory 755 0:0"


def test_hard_links_are_one_file() -> None:
    linked = image([("a", "file", "1"), ("b", "hard", "a"), ("c", "hard", "b")])
    assert {each.names for each in linked.files.values()} == {("a", "b", "c")}
    apart = image([("a", "file", "1"), ("b", "file", "1"), ("c", "hard", "b")])
    assert list(differences(linked, apart)) == [
        "a: is also ('a', 'b', 'c') / ('a',)",
        "b: is also ('a', 'b', 'c') / ('b', 'c')",
        "c: is also ('a', 'b', 'c') / ('b', 'c')",
    ]


def test_what_differs_is_named() -> None:
    one = image(BELOW, settings={"Env": ["A=1"], "User": "", "Hostname": "x"})
    two = image([*BELOW[:2], ("d/b", "file", "other"), ("n", "file", "")], settings={"Cmd": ["x"], "Hostname": "y"})
    assert list(differences(one, one)) == []
    assert list(differences(one, two)) == [
        "d/b: file 644 0:0 2 / file 644 0:0 other",
        "l: link d/a / nothing",
        "n: nothing / file 644 0:0 ",
        "Cmd: None / ['x']",
        "Env: ['A=1'] / None",
    ]
