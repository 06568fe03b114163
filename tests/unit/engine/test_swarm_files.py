"""Secrets and configs of Docker's clients."""

import pytest

from engine.protocol.errors import ApiError
from engine.translate.swarm.swarm_files import file_document, read_file
from shoal.api.v1.control_pb2 import FileView


@pytest.mark.parametrize("key", ["name", "Name"])
def test_a_config_may_be_a_template(key: str) -> None:
    request = read_file({"Name": "motd", "Data": "eA==", "Templating": {key: "golang"}})
    assert request.spec.template
    view = FileView(spec=request.spec, content=request.content)
    assert file_document(view, with_data=True)["Spec"] == {
        "Name": "motd",
        "Labels": {},
        "Data": "eA==",
        "Templating": {"Name": "golang"},
    }


def test_others_are_no_templates() -> None:
    request = read_file({"Name": "motd", "Data": "eA==", "Templating": None})
    assert not request.spec.template
    assert "Templating" not in file_document(FileView(spec=request.spec), with_data=True)["Spec"]


@pytest.mark.parametrize("more", [{"Templating": {"Name": "jinja"}}, {"Driver": {"Name": "vault"}}])
def test_other_drivers_are_refused_by_name(more: dict[str, object]) -> None:
    with pytest.raises(ApiError, match="is not supported"):
        read_file({"Name": "motd", "Data": "eA==", **more})
