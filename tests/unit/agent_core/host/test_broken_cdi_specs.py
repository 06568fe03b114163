"""Specs of the Container Device Interface that are broken: each is left out and told of, and the others count."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.cdi.cdi_registry import MAX_NAMES, MAX_SPEC_BYTES, MAX_SPECS, read_specs
from shoal.api.v1.meta_pb2 import GenericResource

GOOD = {"cdiVersion": "0.6.0", "kind": "good.com/gpu", "devices": [{"name": "0"}]}
DOUBLED = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))])
EDITS: list[dict[Any, Any]] = [
    {"env": ["A=1", 5]},
    {"env": "A=1"},
    {"env": ["=x"]},
    {"env": ["A=\0"]},
    {"additionalGids": [True]},
    {"additionalGids": [-1]},
    {"additionalGids": [2**32]},
    {"deviceNodes": [{"path": 5}]},
    {"deviceNodes": [{"path": "dev/x"}]},
    {"deviceNodes": [{"path": "/dev/x", "hostPath": ["/dev/x"]}]},
    {"deviceNodes": [{"path": "/dev/x", "fileMode": "0666"}]},
    {"deviceNodes": [{"path": "/dev/x", "uid": {}}]},
    {"deviceNodes": [{"path": "/dev/x", "permissions": "all"}]},
    {"mounts": [{"hostPath": "/a", "containerPath": "b"}]},
    {"mounts": [{"hostPath": "/a", "containerPath": "/b", "options": "ro"}]},
    {"mounts": [{"hostPath": "/a", "containerPath": "/b", "options": [None]}]},
    {"hooks": [{"hookName": [], "path": "/x"}]},
    {"hooks": [{"hookName": "prestart", "path": "x"}]},
    {"hooks": [{"hookName": "prestart", "path": "/x", "args": {"a": 1}}]},
    {"hooks": [{"hookName": "prestart", "path": "/x", "timeout": "soon"}]},
    {"hooks": [{"hookName": "prestart", "path": "/x", "timeout": -1}]},
    {"unknown": 1, "env": []},
]
TEXTS = {
    "deep.json": "[" * 200_000,
    "deep.yaml": "[" * 2_000 + "]" * 2_000,
    "doubled.yaml": f"{DOUBLED}\nkind: a.b/c\ncontainerEdits: {{hooks: [*a39]}}",
    "merged.yaml": "a: &a {x: 1}\nkind: a.b/c\nb: {<<: [*a, *a]}",
    "keys.yaml": "kind: a.b/c\ncontainerEdits: {1: x, ? [a] : y}",
    "mixed.yaml": "kind: a.b/c\ncontainerEdits: {1: x, y: z, null: w}",
    "tag.yaml": "!!python/object/apply:os.system ['true']",
    "tagged1.yaml": "kind: !!bool x",
    "tagged2.yaml": "kind: !!int ''",
    "tagged3.yaml": "kind: !!timestamp x",
    "date.yaml": "kind: a.b/c\ndevices: 2001-99-99",
    "many.yaml": "---\n---\n",
    "number.json": '{"kind": ' + "9" * 5000 + "}",
    "bytes.json": "\udcff\udcfe",
    "null.json": "null",
    "large.json": " " * (MAX_SPEC_BYTES + 1),
}


def broken(directory: Path) -> None:
    for name, text in TEXTS.items():
        (directory / name).write_bytes(text.encode(errors="surrogateescape"))
    for number, edits in enumerate(EDITS):
        document = {"kind": f"bad{number}.com/gpu", "devices": [{"name": "0", "containerEdits": edits}]}
        (directory / f"edits{number}.json").write_text(json.dumps(document))
    os.mkfifo(directory / "fifo.json")
    (directory / "null.yaml").symlink_to("/dev/null")
    (directory / "absent.yaml").symlink_to("nothing")
    (directory / "loop.yaml").symlink_to("loop.yaml")
    (directory / "directory.json").mkdir()


def test_the_others_count_and_each_that_is_broken_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken(tmp_path)
    (tmp_path / "zz.json").write_text(json.dumps(GOOD))
    assert read_specs([tmp_path]).resources() == [GenericResource(kind="good.com/gpu", names=["0"])]
    reported = [record.getMessage() for record in caplog.records]
    left_out = sorted(path.name for path in tmp_path.iterdir() if path.name != "zz.json")
    assert (
        sorted(message.removeprefix("ignoring CDI spec ").split(": ")[0].rpartition("/")[2] for message in reported)
        == left_out
    )
    assert all(len(message) < 1000 and "\n" not in message for message in reported)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_directory_that_cannot_be_read_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "good").mkdir()
    (tmp_path / "good/a.json").write_text(json.dumps(GOOD))
    assert len(read_specs([tmp_path / "file", tmp_path / "good"]).resources()) == 1
    assert "cannot read the CDI specs" in caplog.text


def test_there_is_an_end_to_files_and_to_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(MAX_SPECS + 1):
        devices = [{"name": f"d{each}"} for each in range(150)]
        (tmp_path / f"{number:03}.json").write_text(json.dumps({"kind": f"k{number:03}.com/gpu", "devices": devices}))
    resources = read_specs([tmp_path]).resources()
    assert sum(len(each.names) for each in resources) == MAX_NAMES
    assert f"only the first {MAX_SPECS} are read" in caplog.text
