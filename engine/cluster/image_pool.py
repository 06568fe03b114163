"""Images between registries, archives and the cluster's image repository. Imports httpx: import it in the program."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from engine.protocol.errors import ApiError, bad_request, not_found
from engine.protocol.registry_auth import RegistryAuth, registry_domain
from shoal.api.v1.control_pb2 import GetClusterRequest
from shoal.api.v1.engine_pb2 import GetImageRequest, ImageView, ListImagesRequest, SetImageRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.errors import InvalidInput, NotFound, PermissionDenied, Refused, ShoalError, Unauthenticated
from shoal.image_reference import ImageReference, parse
from shoal.images.image_repository import ImageRepository
from shoal.manager_calls.managers import Managers


class ImagePool:
    """The cluster's images, and the registries that they come from and go to.

    Args:
        registries: settings of registries; requests add their credentials.
    """

    def __init__(self, managers: Managers, registries: Registries) -> None:
        self._managers = managers
        self._registries = registries

    async def find(self, name: str) -> ImageView:
        """An image by name, id, or the beginning of an id.

        Raises:
            ApiError: 404, there is none; 400, it is no reference.
        """
        try:
            return await self._managers.call(self._managers.images.GetImage, GetImageRequest(image=name))
        except NotFound:
            raise no_such_image(name) from None
        except InvalidInput as error:
            raise bad_request(f"invalid reference format: {error}") from error

    async def find_digest(self, name: str) -> str:
        """The digest that a name means; empty where it means none."""
        try:
            return (await self.find(name)).image.digest
        except ApiError:
            return ""

    async def set(self, image: Image) -> Image:
        """Give an image its name."""
        return await self._managers.call(self._managers.images.SetImage, SetImageRequest(image=image))

    @asynccontextmanager
    async def opened(
        self, reference: ImageReference | None = None, auth: RegistryAuth | None = None
    ) -> AsyncGenerator[tuple[Distribution, ImageRepository]]:
        """The registries, and the cluster's image repository.

        Args:
            reference: of the registry that the credentials are for.
        Raises:
            Refused: the cluster has no image repository.
        """
        cluster = await self._managers.call(self._managers.control.GetCluster, GetClusterRequest())
        if not cluster.image_repository:
            raise Refused("the cluster has no image repository; set one with `shoal cluster update --image-repository`")
        async with Distribution(self.registries(reference, auth)) as distribution:
            yield distribution, ImageRepository(distribution, cluster.image_repository)

    async def names_of(self, reference: ImageReference) -> list[ImageReference]:
        """The names that images of the cluster have in a repository, by tag."""
        listed = await self._managers.call(self._managers.images.ListImages, ListImagesRequest())
        names = (parse(each) for view in listed.images for each in view.names)
        return sorted((each for each in names if each.name == reference.name and each.tag), key=str)

    async def tagged(self, reference: ImageReference, auth: RegistryAuth | None) -> list[ImageReference]:
        """One reference for each tag of a repository, in the registry's order.

        Raises:
            NotFound: there is no such repository, or nothing in it.
        """
        async with Distribution(self.registries(reference, auth)) as distribution:
            tags = await distribution.repository(reference).tags()
        if not tags:
            raise NotFound(f"no tags of {reference.name}")
        return [replace(reference, tag=each) for each in tags]

    def registries(self, reference: ImageReference | None, auth: RegistryAuth | None) -> Registries:
        """Settings with the credentials of a request, for the registry of its reference."""
        if reference is None or auth is None or auth.is_empty:
            return self._registries
        domain = reference.domain
        if auth.server and registry_domain(auth.server) != domain:
            return self._registries
        return self._registries.with_login(domain, auth.username, auth.password, identity_token=auth.identity_token)


def names_one(name: str) -> bool:
    """Whether a name has a tag or a digest: without both it means all images of a repository."""
    try:
        reference = parse(name)
    except InvalidInput:
        return True
    return bool(reference.tag or reference.digest)


def parse_image(name: str, tag: str = "") -> ImageReference:
    """The reference of a name, and of a tag or a digest beside it.

    Raises:
        ApiError: 400, it is none.
    """
    separator = "@" if tag.startswith("sha256:") else ":"
    text = f"{name}{separator}{tag}" if tag else name
    try:
        return parse(text).with_default_tag()
    except InvalidInput as error:
        raise bad_request(f"invalid reference format: {error}") from error


def parse_platform(text: str) -> Platform | None:
    """A platform in "linux/arm64/v8".

    Raises:
        ApiError: 400, it is none.
    """
    if not text:
        return None
    parts = text.lower().split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise bad_request(f'"{text}": unknown operating system or architecture: invalid argument')
    return Platform(*parts)


def pull_error(error: ShoalError, reference: ImageReference) -> ShoalError:
    """What a registry has refused, with the words that clients look for."""
    name = ImageReference(reference.domain, reference.path).familiar
    if isinstance(error, (Unauthenticated, PermissionDenied)):
        return not_found(
            f"pull access denied for {name}, repository does not exist or may require 'docker login': {error}"
        )
    if isinstance(error, NotFound):
        return not_found(f"manifest for {reference.familiar} not found: manifest unknown: {error}")
    return error


def no_such_image(name: str) -> ApiError:
    """404 with Docker's words, which make clients pull it."""
    try:
        shown = parse(name).with_default_tag().familiar
    except InvalidInput:
        shown = name
    return not_found(f"No such image: {shown}")
