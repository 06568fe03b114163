"""What the commands about images share: options, the cluster's repository, registries with their logins."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.client import Client
from shoal.api.v1.control_pb2 import GetClusterRequest
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries, read_registries
from shoal.errors import InvalidInput, NotFound, Refused, Unauthenticated
from shoal.image_reference import ImageReference, parse

T = TypeVar("T")

NO_REPOSITORY = (
    "the cluster has no image repository; set one with `shoal cluster update --image-repository REGISTRY/shoal/pool`"
)

registries_option = click.option(
    "--registries",
    type=click.Path(path_type=Path),
    help="File with registry settings and credentials (default: the context's).",
)


class PlatformType(click.ParamType[Platform]):
    """ "linux/arm64/v8" """

    name = "platform"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Platform:
        if isinstance(value, Platform):
            return value
        parts = str(value).lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            self.fail(f"{value!r} must be in the form os/architecture[/variant], such as linux/arm64.", param, ctx)
        return Platform(*parts)


def platform_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--platform`."""
    return click.option("--platform", type=PlatformType(), metavar="OS/ARCH", help=text)


content_trust_option = click.option(
    "--disable-content-trust",
    is_flag=True,
    default=True,
    expose_value=False,
    help="Has no effect: images are not signed.",
)


def settings_of(ctx: click.Context, path: Path | None) -> Registries:
    """The file given, else the context's, else none: then a registry is reached by its name over HTTPS."""
    if path is not None:
        if not path.is_file():
            raise NotFound(f"--registries: {path} not found")
        return read_registries(path)
    from cli.client import resolve_context

    try:
        chosen = resolve_context(ctx.find_root().obj)
    except NotFound:
        return Registries()
    return read_registries(chosen.registries) if chosen.registries else Registries()


def repository_name(client: Client) -> str:
    """The cluster's image repository.

    Raises:
        Refused: it has none.
    """
    name = client.call(client.control.GetCluster, GetClusterRequest()).image_repository
    if not name:
        raise Refused(NO_REPOSITORY)
    return name


def registries_with_logins(ctx: click.Context, path: Path | None, references: Iterable[ImageReference]) -> Registries:
    """Settings of registries, with logins for those of the references. Raises as `with_logins` does."""
    from shoal.registry_logins.docker_config import DockerConfig, config_path
    from shoal.registry_logins.with_logins import with_logins

    config = DockerConfig(config_path(os.environ))
    return with_logins(settings_of(ctx, path), [each.domain for each in references], config)


def run(work: Coroutine[Any, Any, T], *domains: str) -> T:
    """Do the work; an error about credentials says how to log in.

    Args:
        domains: registries whose login is the caller's own.
    """
    try:
        return asyncio.run(work)
    except Unauthenticated as error:
        named = next((each for each in domains if each in str(error)), domains[0] if domains else "")
        hint = f"; or run `shoal login {named}`" if named else ""
        raise Unauthenticated(f"{error}{hint}") from error


def reference_with_tag(text: str) -> ImageReference:
    """A name that may be given to an image.

    Raises:
        InvalidInput: it is none, or has a digest.
    """
    found = parse(text)
    if found.digest:
        raise InvalidInput(f"{text}: specify a tag, not a digest")
    return found.with_default_tag()
