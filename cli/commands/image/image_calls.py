"""The service `Images`, as commands call it."""

from cli.client import Client
from shoal.api.v1.engine_pb2 import GetImageRequest, ImageView, SetImageRequest
from shoal.api.v1.standalone_pb2 import Image


def get_image(client: Client, reference: str) -> ImageView:
    """An image of the cluster. Raises NotFound; InvalidInput where an ID prefix is ambiguous."""
    from shoal.api.v1.engine_pb2_grpc import ImagesStub

    return client.call(ImagesStub(client.channel).GetImage, GetImageRequest(image=reference))


def set_image(client: Client, image: Image) -> Image:
    """Give an image its name. Raises NotFound: its bytes are not in the cluster's repository."""
    from shoal.api.v1.engine_pb2_grpc import ImagesStub

    return client.call(ImagesStub(client.channel).SetImage, SetImageRequest(image=image))
