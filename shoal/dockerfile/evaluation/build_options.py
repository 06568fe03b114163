"""What a build is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.distribution.manifests import Platform


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of one build for one platform.

    Attributes:
        platform: of the result.
        build_platform: of the node that builds.
        target: a stage's name or number; empty: the last one.
        arguments: `--build-arg`.
        labels: `--label`; they override those of the file.
        contexts: `--build-context`, by name: `docker-image://…`, or anything else, which the builder fetches. Those of
            `name::linux/arm64` are for that platform.
    """

    platform: Platform
    build_platform: Platform
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
