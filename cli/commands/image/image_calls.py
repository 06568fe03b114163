"""The service `Images`, as commands call it."""

from collections.abc import Callable

from cli.client import Client
from shoal.api.v1.engine_pb2 import GetImageRequest, ImageView, SetImageRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import NotFound


def get_image(client: Client, reference: str) -> ImageView:
    """An image of the cluster. Raises NotFound; InvalidInput where an ID prefix is ambiguous."""
    from shoal.api.v1.engine_pb2_grpc import ImagesStub

    return client.call(ImagesStub(client.channel).GetImage, GetImageRequest(image=reference))


def name_copied_image(client: Client, image: Image, copy_again: Callable[[], Image]) -> Image:
    """Give an image that was just copied its name. Where it was being removed meanwhile, it is copied once more.

    Args:
        copy_again: copies it, and returns it.
    """
    try:
        return set_image(client, image)
    except NotFound:
        return set_image(client, copy_again())


def set_image(client: Client, image: Image) -> Image:
    """Give an image its name. Raises NotFound: its bytes are not in the cluster's repository."""
    from shoal.api.v1.engine_pb2_grpc import ImagesStub

    return client.call(ImagesStub(client.channel).SetImage, SetImageRequest(image=image))
