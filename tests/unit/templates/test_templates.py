"""Templates: what is filled in, what is refused, and that managers refuse what agents could not fill in."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.worker.interfaces import MountedFile
from agent.worker.sandbox import NO_SANDBOX
from agent.worker.startup.container_request import container_request
from agent.worker.startup.task_inputs import TaskInputs
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.service_pb2 import ServiceRevision, ServiceSpec
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput
from shoal.spec_templates import NAMES, NodeValues, expand_container, fill_in, template_fault, uses_labels, values_of

SPEC = ServiceSpec(name="web", labels={"tier": "{{.Task.ID}}", "a-b": "1"})
VALUES = values_of(
    ServiceRevision(spec=SPEC), Task(id="t", service_id="s", slot=3), NodeValues("n", "host", "linux", "amd64")
)
TEXTS = st.one_of(
    st.text(), st.lists(st.sampled_from([*(f"{{{{.{name}}}}}" for name in NAMES), "{{", "}}", "x"])).map("".join)
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{.Service.Name}}.{{ .Task.Slot }}", "web.3"),
        ("{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}", "linux/amd64"),
        ("{{.Service.Labels.a-b}}{{.Service.Labels.none}}", "1"),
        ('{{index .Service.Labels "tier"}}', "{{.Task.ID}}"),
        ("{plain} }}", "{plain} }}"),
    ],
)
def test_what_is_filled_in(text: str, filled: str) -> None:
    assert fill_in(text, VALUES) == filled


@pytest.mark.parametrize("text", ["{{.Task.Nope}}", "{{ env }}", "{{.Task", "{{}}", "{{if .Task.ID}}"])
def test_what_is_refused(text: str) -> None:
    assert template_fault(text)
    with pytest.raises(InvalidInput):
        fill_in(text, VALUES)


@given(TEXTS)
def test_what_is_not_refused_can_be_filled_in_and_plain_text_stays(text: str) -> None:
    if not template_fault(text):
        filled = fill_in(text, VALUES)
        assert "{{" in text or filled == text


def test_a_container() -> None:
    mount = Mount(type=Mount.BIND, source="/srv/{{.Task.Slot}}", target="/data")
    spec = ContainerSpec(env=["A={{.Service.Labels.a-b}}"], hostname="{{.Task.ID}}", mounts=[mount])
    filled = expand_container(spec, VALUES)
    assert (list(filled.env), filled.hostname, filled.mounts[0].source) == (["A=1"], "t", "/srv/3")
    assert uses_labels(spec) and not uses_labels(ContainerSpec(env=["A=.Service.Labels"]))
    plain = ContainerSpec(env=["A=1"])
    assert expand_container(plain, VALUES) is plain


def test_a_value_cannot_lead_out_of_a_directory() -> None:
    spec = ContainerSpec(mounts=[Mount(type=Mount.BIND, source="/srv/{{.Service.Labels.up}}", target="/data")])
    with pytest.raises(InvalidInput, match=r'must not contain "\.\."'):
        expand_container(spec, {**VALUES, "Service.Labels.up": "../etc"})


def files_of(*files: MountedFile, labels: Mapping[str, str] = MappingProxyType({})) -> list[bytes]:
    revision = ServiceRevision(service_id="s1", spec=ServiceSpec(name="web", labels=labels))
    request = container_request(
        Task(id="t1", slot=3), revision, node=NodeValues(id="n1", hostname="h1"), image=cast(Any, None),
        sandbox=NO_SANDBOX, inputs=TaskInputs(files, {}), host_resolv_conf="",
    )  # fmt: skip
    return [each.content for each in request.mounted_files]


def file(content: bytes, *, template: bool = True) -> MountedFile:
    return MountedFile("/motd", content, uid=0, gid=0, mode=0o444, executable=False, template=template)


def test_files_that_are_templates_are_filled_in_and_others_stay() -> None:
    text = b"{{.Service.Name}} {{ .Task.Slot }} {{.Node.Hostname}} {{.Service.Labels.tier}}"
    found = files_of(file(text), file(text, template=False), labels={"tier": "x"})
    assert found == [b"web 3 h1 x", text]


@pytest.mark.parametrize("content", [b"{{.Nothing}} s3cret", b"\xff s3cret"])
def test_a_template_that_cannot_be_filled_in_is_named_without_its_content(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="/motd cannot be filled in") as caught:
        files_of(file(content))
    assert "s3cret" not in str(caught.value)


def test_labels_are_sent_to_nodes_for_templates_in_files() -> None:
    assert not uses_labels(ContainerSpec(configs=[FileReference(source="c")]))
    assert uses_labels(ContainerSpec(configs=[FileReference(source="c", template=True)]))
