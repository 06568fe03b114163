"""Logins of this machine's user at registries, as a node needs them for a build: in memory, for that build alone."""

from collections.abc import Iterable

from shoal.api.v1.builds_pb2 import RegistryCredentials
from shoal.distribution.credentials import read_password
from shoal.distribution.registries import Registries, read_registries
from shoal.errors import NotFound
from shoal.registry_logins.docker_config import DockerConfig
from shoal.registry_logins.with_logins import with_logins


def registries_of_context(name: str | None) -> Registries:
    """Settings of registries of the context named, else of the one chosen; none where it has none."""
    from cli.client import resolve_context

    try:
        chosen = resolve_context(name)
    except NotFound:
        return Registries()
    return read_registries(chosen.registries) if chosen.registries else Registries()


def credentials_for(
    registries: Registries, domains: Iterable[str], config: DockerConfig
) -> dict[str, RegistryCredentials]:
    """Credentials by domain, of those domains that have some.

    Raises:
        InvalidInput: Docker's file, or that of a password, cannot be read. Unavailable: a credential helper fails.
    """
    domains_once = list(dict.fromkeys(domains))
    found = with_logins(registries, domains_once, config)
    answers = {}
    for domain in domains_once:
        settings = found.find(domain)
        if settings.username or settings.identity_token:
            answers[domain] = RegistryCredentials(
                username=settings.username,
                password=settings.password or (read_password(settings.password_file) if settings.password_file else ""),
                identity_token=settings.identity_token,
            )
    return answers
