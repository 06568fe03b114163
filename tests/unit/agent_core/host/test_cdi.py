"""Specs of the Container Device Interface: read from files, and put into a container's OCI spec."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cdi.cdi_registry import read_specs
from agent.cdi.spec_document import Edits, parse
from agent.options.declared_resources import parse_resource
from agent.runtime.spec.cdi_edits import apply_edits, device_nodes
from agent.worker.startup.allocated_resources import cdi_devices
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput

YAML = """
cdiVersion: 0.6.0
kind: example.com/gpu
containerEdits:
  env: [COMMON=1]
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/gpu0, hostPath: /dev/null}]
- name: "1"
  containerEdits:
    env: [ONE=1]
- name: all
"""


def spec(kind: str, *names: str, **edits: Any) -> str:
    devices = [{"name": name, "containerEdits": edits} for name in names]
    return json.dumps({"cdiVersion": "1.0.0", "kind": kind, "devices": devices})


def test_what_the_specs_name_are_generic_resources_but_for_the_device_that_stands_for_all(tmp_path: Path) -> None:
    (tmp_path / "gpus.yaml").write_text(YAML)
    (tmp_path / "other.json").write_text(spec("example.com/net", "a"))
    (tmp_path / "README").write_text("no spec")
    assert read_specs([tmp_path, tmp_path / "absent"]).resources() == [
        GenericResource(kind="example.com/gpu", names=["0", "1"]),
        GenericResource(kind="example.com/net", names=["a"]),
    ]


def test_a_container_gets_what_its_devices_have_in_common_once(tmp_path: Path) -> None:
    (tmp_path / "gpus.yaml").write_text(YAML)
    edits = read_specs([tmp_path]).edits([("example.com/gpu", "0"), ("example.com/gpu", "1")])
    assert edits.env == ("COMMON=1", "ONE=1")
    [node] = device_nodes(edits)
    assert (node.path, node.kind, node.major, node.minor, node.access) == ("/dev/gpu0", "c", 1, 3, "rwm")
    with pytest.raises(InvalidInput, match="unknown CDI device example"):
        read_specs([tmp_path]).edits([("example.com/gpu", "2")])


def test_a_later_directory_wins_and_two_claims_in_one_are_none(tmp_path: Path) -> None:
    static, dynamic = tmp_path / "static", tmp_path / "dynamic"
    for directory in (static, dynamic):
        directory.mkdir()
    (static / "a.json").write_text(spec("example.com/gpu", "0", "1", env=["FROM=static"]))
    (dynamic / "a.json").write_text(spec("example.com/gpu", "0", env=["FROM=dynamic"]))
    found = read_specs([static, dynamic])
    assert found.edits([("example.com/gpu", "0")]).env == ("FROM=dynamic",)
    assert found.edits([("example.com/gpu", "1")]).env == ("FROM=static",)
    (dynamic / "b.json").write_text(spec("example.com/gpu", "0"))
    assert read_specs([static, dynamic]).resources() == [GenericResource(kind="example.com/gpu", names=["1"])]


def test_a_spec_that_cannot_be_understood_is_left_out_and_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "good.json").write_text(spec("example.com/gpu", "0"))
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "odd.yaml").write_text("kind: gpu")
    assert len(read_specs([tmp_path]).resources()) == 1
    assert "bad.json: " in caplog.text and "odd.yaml: kind must be in the form" in caplog.text


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "kind must be in the form"),
        ({"kind": "example.com"}, "kind must be in the form"),
        ({"kind": "a.b/c", "devices": {}}, "devices must be a list"),
        ({"kind": "a.b/c", "devices": [{"name": "x y"}]}, "not a valid device name"),
        ({"kind": "a.b/c", "devices": [{"name": "x"}, {"name": "x"}]}, "defined twice"),
        ({"kind": "a.b/c", "containerEdits": {"intelRdt": {}}}, "intelRdt is not supported"),
        (
            {"kind": "a.b/c", "containerEdits": {"hooks": [{"hookName": "later", "path": "/x"}]}},
            "invalid hookName 'later'",
        ),
        (
            {"kind": "a.b/c", "containerEdits": {"hooks": [{"hookName": "poststop", "path": "/x"}]}},
            "poststop hooks are not supported",
        ),
        ({"kind": "a.b/c", "containerEdits": {"deviceNodes": [{}]}}, "must have a path"),
        ({"kind": "a.b/c", "containerEdits": {"mounts": [{"hostPath": "/x"}]}}, "must have hostPath"),
        ({"kind": "a.b/c", "containerEdits": {"env": ["X"]}}, "env must be a list"),
    ],
)
def test_other_forms_are_refused(document: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse(Path("x.json"), document)


def test_edits_are_put_into_the_oci_spec() -> None:
    section: dict[str, Any] = {"process": {"env": ["A=1"], "user": {"additionalGids": [5]}}, "mounts": []}
    hook = {"hookName": "createRuntime", "path": "/bin/hook", "args": ["hook", "x"], "timeout": 3}
    mounts = (
        {"hostPath": "/a", "containerPath": "/b", "options": ["ro", "bind"]},
        {"hostPath": "/c", "containerPath": "/d"},
    )
    apply_edits(section, Edits(env=("B=2",), mounts=mounts, hooks=(hook,), groups=(0, 5, 44)))
    assert section["process"] == {"env": ["A=1", "B=2"], "user": {"additionalGids": [5, 44]}}
    assert section["mounts"] == [
        {"destination": "/b", "type": "bind", "source": "/a", "options": ["ro", "bind"]},
        {"destination": "/d", "type": "bind", "source": "/c", "options": ["rbind"]},
    ]
    assert section["hooks"] == {"createRuntime": [{"path": "/bin/hook", "args": ["hook", "x"], "timeout": 3}]}


def test_a_device_node_that_this_host_has_not_is_told_of() -> None:
    with pytest.raises(InvalidInput, match="/dev/none"):
        device_nodes(Edits(device_nodes=({"path": "/dev/x", "hostPath": "/dev/none"},)))


def test_what_a_task_was_given_of_them() -> None:
    assert parse_resource("gpu=nvidia.com/gpu=0,GPU-1").names == ["nvidia.com/gpu=0", "GPU-1"]
    given = [
        GenericResource(kind="nvidia.com/gpu", names=["1"]),
        GenericResource(kind="gpu", names=["nvidia.com/gpu=0", "GPU-1", "/dev/null"]),
        GenericResource(kind="seat", count=2),
    ]
    assert cdi_devices(Task(generic_resources=given)) == [("nvidia.com/gpu", "1"), ("nvidia.com/gpu", "0")]
