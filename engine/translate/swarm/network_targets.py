"""Networks of services: names as ids, before anything is made of a request. Pure."""

from collections.abc import Mapping
from typing import Any

from engine.translate.fields import Fields
from engine.translate.object_ids import docker_id
from shoal.api.v1.control_pb2 import NetworkView

KEY = "Networks"


def with_network_ids(document: Mapping[str, Any], networks: Mapping[str, NetworkView]) -> Mapping[str, Any]:
    """The request with the id of each network that it names, which Docker tells back.

    Args:
        networks: by id. What is none of them stays as it is.
    Raises:
        ApiError: 400, something has another type.
    """
    ids = {view.network.spec.name: docker_id(identifier) for identifier, view in networks.items()}
    changed = dict(document)
    template = dict(Fields(document).nested("TaskTemplate").document)
    for holder in (changed, template):
        if KEY in holder:
            entries = Fields(holder).nested_list(KEY)
            holder[KEY] = [_with_id(each, ids) for each in entries]
    return changed | ({"TaskTemplate": template} if template else {})


def _with_id(entry: Fields, ids: Mapping[str, str]) -> dict[str, Any]:
    target = entry.text("Target")
    return {**entry.document, "Target": ids.get(target, target)}
