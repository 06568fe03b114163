"""Credentials for registries: `registries.toml` first, Docker's `config.json` then."""

from collections.abc import Iterable

from shoal.distribution.registries import Registries
from shoal.registry_logins.docker_config import DockerConfig


def with_logins(registries: Registries, domains: Iterable[str], config: DockerConfig) -> Registries:
    """The settings with logins for these registries, where they have none of their own.

    Raises:
        InvalidInput: Docker's file is broken. Unavailable: a credential helper fails.
    """
    for domain in dict.fromkeys(domains):
        if registries.find(domain).username:
            continue
        login = config.login(domain)
        if login is not None:
            registries = registries.with_login(
                domain, login.username, login.password, identity_token=login.identity_token
            )
    return registries
