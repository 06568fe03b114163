"""Secrets and configs. Pure."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from engine.translate.fields import Fields
from engine.translate.stack_labels import stack_of, with_stack
from engine.translate.swarm.swarm_objects import meta_document
from shoal.api.v1.control_pb2 import CreateFileRequest, FileView

TEMPLATING = "golang"


def read_file(document: Mapping[str, Any]) -> CreateFileRequest:
    """A creation request.

    Raises:
        ApiError: 400, its data is not in base64.
    """
    body = Fields(document)
    request = CreateFileRequest(content=_data(body))
    request.spec.name = body.text("Name")
    request.spec.labels.update(body.text_map("Labels"))
    request.spec.stack = stack_of(request.spec.labels)
    if body.nested("Driver").text("Name"):
        raise body.invalid("Driver", "is not supported")
    templating = body.nested("Templating").text("Name")
    if templating not in ("", TEMPLATING):
        raise body.invalid("Templating", f"{templating!r} is not supported; {TEMPLATING} is")
    request.spec.template = bool(templating)
    return request


def file_document(view: FileView, *, with_data: bool) -> dict[str, Any]:
    """
    Args:
        with_data: of a config; a secret's content is never told.
    """
    spec: dict[str, Any] = {"Name": view.spec.name, "Labels": with_stack(view.spec.labels, view.spec.stack)}
    if with_data:
        spec["Data"] = base64.b64encode(view.content).decode()
    if view.spec.template:
        spec["Templating"] = {"Name": TEMPLATING}
    return meta_document(view.meta) | {"Spec": spec}


def read_labels(document: Mapping[str, Any], view: FileView) -> tuple[dict[str, str], list[str]]:
    """The labels of an update: those to set, and those to remove. All else has to stay.

    Raises:
        ApiError: 400, the name or the data is another one.
    """
    body = Fields(document)
    if body.text("Name") not in ("", view.spec.name):
        raise body.invalid("Name", "only updates to Labels are allowed")
    if body.text("Data") and view.content and _data(body) != view.content:
        raise body.invalid("Data", "only updates to Labels are allowed")
    labels = body.text_map("Labels")
    return labels, [name for name in view.spec.labels if name not in labels]


def matches(view: FileView, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether it fits the filters of `list`."""
    return all(any(_fits(view, key, value) for value in values) for key, values in filters.items() if values)


def _fits(view: FileView, key: str, value: str) -> bool:
    match key:
        case "id":
            return view.meta.id.startswith(value)
        case "name":
            return view.spec.name.startswith(value)
        case "names":
            return view.spec.name == value
        case _:
            labels = with_stack(view.spec.labels, view.spec.stack)
            name, sign, text = value.partition("=")
            return name in labels and (not sign or labels[name] == text)


def _data(body: Fields) -> bytes:
    text = body.text("Data")
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        raise body.invalid("Data", "must be in base64") from None
