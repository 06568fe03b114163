"""A build before it begins: with the credentials for the registries that it needs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.builds.build_call import LocalBuild
from cli.builds.build_source import BuildSource
from cli.builds.known_dockerfiles import dockerfile_key, known_images, remember_images
from cli.builds.local_caches import take_local_caches
from cli.builds.registry_credentials import credentials_for
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.distribution.registries import Registries
from shoal.errors import InvalidInput
from shoal.image_reference import domains_of
from shoal.registry_logins.docker_config import DockerConfig, config_path
from shoal.spec_parsers.builds.build_caches import cache_reference

MAX_PATTERN_CHARACTERS = 1 << 16
"""Of .dockerignore, that a node has for its build checks; of more it gets none."""


def prepare(
    start: BuildStart,
    source: BuildSource,
    registries: Registries,
    *,
    secrets: Mapping[str, bytes],
    directories: Mapping[str, Path],
    ssh_agents: Mapping[str, str] | None = None,
) -> LocalBuild:
    """The build; `start` gets credentials, the ids of SSH agents, and the proxies of Docker's `config.json`.

    Raises:
        InvalidInput: every fault of the Dockerfile, where it is at hand; several directories for the cache.
    """
    caches = take_local_caches(start)
    references = [*start.push, *map(cache_reference, (*start.cache_from, *start.cache_to))]
    if source.text is not None:
        references += _images(source.text, source.dockerfile, start)
    config = DockerConfig(config_path(os.environ))
    for domain, credentials in credentials_for(registries, domains_of(references), config).items():
        start.credentials[domain].CopyFrom(credentials)
    for name, value in config.proxies().items():
        if name not in start.build_args:
            start.build_args[name] = value
    start.ssh_ids.extend(ssh_agents or ())
    if sum(map(len, source.patterns)) <= MAX_PATTERN_CHARACTERS:
        start.ignore_patterns.extend(source.patterns)
    return LocalBuild(start, source, secrets, {**directories, **caches.sources}, ssh_agents or {}, caches.destination)


def _images(text: bytes, name: str, start: BuildStart) -> Sequence[str]:
    key = dockerfile_key(text, name, start)
    found = known_images(os.environ, key)
    if found is None:
        found = _read_images(text, name, start)
        remember_images(os.environ, key, found)
    return found


def _read_images(text: bytes, name: str, start: BuildStart) -> Sequence[str]:
    from cli.builds.dockerfile_reading import images_of
    from cli.builds.fault_excerpts import with_excerpts

    try:
        return images_of(text, name, start)
    except InvalidInput as error:
        raise with_excerpts(error, text.decode(errors="replace"), name) from None
