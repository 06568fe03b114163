"""What containers run: their definitions say it, or leave it to the image. Pure."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache

from manager.store.tables import View
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.engine_pb2 import ContainerView


def fill_commands(view: View, shown: Iterable[ContainerView]) -> None:
    """Set `command` of each. Of an image that the cluster has no record of, only what the definition has is known."""
    configs: dict[str, bytes] | None = None
    for each in shown:
        spec = each.container.definition.task.container
        if not spec.entrypoint:
            configs = configs_by_digest(view) if configs is None else configs
        each.command.extend(command_of(spec, configs or {}))


def command_of(spec: ContainerSpec, configs: Mapping[str, bytes]) -> list[str]:
    """Entrypoint and command. An entrypoint of its own does without the image's command, as with Docker.
    A single empty word is none.

    Args:
        configs: configurations of images (JSON) by the digest of an index or a manifest.
    """
    if spec.entrypoint:
        return [word for word in spec.entrypoint if word] + [*spec.command]
    entrypoint, command = _of_image(configs.get(spec.image.partition("@")[2], b""))
    return [*entrypoint, *(spec.command or command)]


def configs_by_digest(view: View) -> dict[str, bytes]:
    """Configurations of images (JSON) by the digest of an index or a manifest.

    Of an image for several platforms the first one's; they hardly differ in this."""
    found = {}
    for image in view.images.values():
        for variant in image.variants:
            found[variant.digest] = variant.config
        if image.variants:
            found[image.digest] = image.variants[0].config
    return found


@lru_cache(maxsize=4096)
def _of_image(config: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        settings = json.loads(config)["config"]
        return tuple(map(str, settings.get("Entrypoint") or ())), tuple(map(str, settings.get("Cmd") or ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return (), ()
