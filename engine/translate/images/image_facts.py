"""What a container has of its image: the parts of an image's configuration that documents of containers show. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.api.v1.standalone_pb2 import ImageVariant


@dataclass(frozen=True)
class ImageFacts:
    """Defaults of a container; all empty where the image is not known any more.

    Attributes:
        image_id: "sha256:…" of its configuration.
        config: `config` of the configuration: Env, Cmd, Entrypoint …, of any shape.
    """

    image_id: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)

    def texts(self, key: str) -> list[str]:
        value = self.config.get(key)
        return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

    def text(self, key: str) -> str:
        value = self.config.get(key)
        return value if isinstance(value, str) else ""

    def keys_of(self, key: str) -> list[str]:
        """The keys of a map such as `ExposedPorts` and `Volumes`."""
        value = self.config.get(key)
        return [str(each) for each in value] if isinstance(value, dict) else []

    def text_map(self, key: str) -> dict[str, str]:
        value = self.config.get(key)
        return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def facts_of(variant: ImageVariant) -> ImageFacts:
    """The facts of one platform of an image."""
    try:
        document = json.loads(variant.config or b"{}")
    except (ValueError, RecursionError):
        document = {}
    config = document.get("config") if isinstance(document, dict) else None
    return ImageFacts(variant.config_digest, config if isinstance(config, dict) else {})


def with_image(config: dict[str, Any], image: ImageFacts) -> dict[str, Any]:
    """`Config` of a container with what its image adds, as Docker merges them at creation."""
    merged = dict(config)
    merged["Env"] = _merged_environment(image.texts("Env"), config.get("Env") or [])
    if not config.get("Entrypoint"):
        merged["Entrypoint"] = image.texts("Entrypoint") or None
        if not config.get("Cmd"):
            merged["Cmd"] = image.texts("Cmd") or None
    elif config["Entrypoint"] == [""]:
        merged["Entrypoint"] = None
    merged["WorkingDir"] = config.get("WorkingDir") or image.text("WorkingDir")
    merged["User"] = config.get("User") or image.text("User")
    merged["Labels"] = image.text_map("Labels") | dict(config.get("Labels") or {})
    exposed: dict[str, Any] = {
        key: {} for key in sorted({*image.keys_of("ExposedPorts"), *(config.get("ExposedPorts") or {})})
    }
    volumes: dict[str, Any] = {key: {} for key in sorted({*image.keys_of("Volumes"), *(config.get("Volumes") or {})})}
    merged["Volumes"] = volumes or None
    merged |= {"ExposedPorts": exposed} if exposed else {}
    if not config.get("StopSignal") and image.text("StopSignal"):
        merged["StopSignal"] = image.text("StopSignal")
    if "Healthcheck" not in config and isinstance(image.config.get("Healthcheck"), dict):
        merged["Healthcheck"] = image.config["Healthcheck"]
    return merged


def command_of(config: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The program and its arguments, of a merged `Config`."""
    words = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    return (words[0], words[1:]) if words else ("", [])


def _merged_environment(inherited: list[str], own: list[str]) -> list[str]:
    """The image's variables that are not set anew, then the container's own."""
    names = {entry.partition("=")[0] for entry in own}
    return [*own, *(entry for entry in inherited if entry.partition("=")[0] not in names)]
