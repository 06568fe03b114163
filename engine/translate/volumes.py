"""Volumes: creation requests as specs, and their documents. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.protocol.go_times import time_text
from engine.protocol.versions import ApiVersion
from engine.translate.containers.container_facts import VOLUME_DIRECTORY
from engine.translate.fields import Fields
from engine.translate.kept_requests import keep, read_kept
from engine.translate.stack_labels import stack_of, with_stack
from shoal.api.v1.control_pb2 import VolumeView
from shoal.api.v1.volume_pb2 import VolumeSpec

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


def read_volume(document: Mapping[str, Any], anonymous_name: str, version: ApiVersion) -> VolumeSpec:
    """The spec of a creation request, which is kept in it.

    Args:
        version: of the API, by which it came.
        anonymous_name: of a volume without a name.
    Raises:
        ApiError: 400, something is not valid.
    """
    body = Fields(document)
    spec = VolumeSpec(
        name=body.text("Name") or anonymous_name,
        labels=body.text_map("Labels"),
        driver=body.text("Driver") or "local",
        options=body.text_map("DriverOpts"),
    )
    if body.has("ClusterVolumeSpec"):
        raise body.invalid("ClusterVolumeSpec", "is not supported; name a CSI driver as Driver")
    spec.stack = stack_of(spec.labels)
    if not body.text("Name"):
        spec.labels[ANONYMOUS_LABEL] = ""
    spec.engine_request = keep(document, version)
    return spec


def volume_document(view: VolumeView, *, usage: tuple[int, int] | None = None) -> dict[str, Any]:
    """
    Args:
        usage: bytes, and number of containers that use it; -1 where it is not known.
    """
    spec = view.volume.spec
    document: dict[str, Any] = {
        "CreatedAt": time_text(view.volume.meta.created_at_ms // 1000 * 1000),
        "Driver": spec.driver or "local",
        "Labels": _map_document(spec, with_stack(spec.labels, spec.stack), "Labels"),
        "Mountpoint": f"{VOLUME_DIRECTORY}/{spec.name}/_data",
        "Name": spec.name,
        "Options": _map_document(spec, spec.options, "DriverOpts"),
        "Scope": "local",
    }
    if homes := [each.hostname for each in view.locations if each.home]:
        document["Status"] = {"Node": homes[0]}
    if usage is not None:
        document["UsageData"] = {"Size": usage[0], "RefCount": usage[1]}
    return document


def _map_document(spec: VolumeSpec, entries: Mapping[str, str], key: str) -> dict[str, str] | None:
    """Labels or options; if there are none, as they were sent: null or {}."""
    kept = read_kept(spec.engine_request)
    return dict(entries) or (None if kept is None or kept[0].get(key) is None else {})


def matches(view: VolumeView, filters: Mapping[str, Iterable[str]], used: frozenset[str]) -> bool:
    """Whether a volume fits the filters of `list`.

    Args:
        used: names of volumes that a container or a service uses.
    """
    return all(any(_fits(view, key, value, used) for value in values) for key, values in filters.items())


def _fits(view: VolumeView, key: str, value: str, used: frozenset[str]) -> bool:
    spec = view.volume.spec
    match key:
        case "name":
            return value in spec.name
        case "driver":
            return (spec.driver or "local") == value
        case "dangling":
            return (spec.name not in used) == (value in ("true", "1"))
        case "label":
            labels = with_stack(spec.labels, spec.stack)
            name, sign, text = value.partition("=")
            return name in labels and (not sign or labels[name] == text)
        case _:
            return True
