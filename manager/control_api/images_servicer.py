"""The Images gRPC service: passes each call to its handler."""

from manager.images.image_handler import ImageHandler
from shoal.api.v1 import engine_pb2
from shoal.api.v1.engine_pb2_grpc import ImagesServicer
from shoal.api.v1.standalone_pb2 import Image
from shoal.rpc.caller import Context, caller_of


class ImagesService(ImagesServicer):
    """Errors are raised as `ShoalError`; `shoal.rpc.guard` turns them into statuses, and has checked the role."""

    # ruff: noqa: N802  # the methods are named by the protocol

    def __init__(self, images: ImageHandler) -> None:
        self._images = images

    async def SetImage(self, request: engine_pb2.SetImageRequest, context: Context) -> Image:
        return await self._images.set(request, caller_of(context))

    async def GetImage(self, request: engine_pb2.GetImageRequest, context: Context) -> engine_pb2.ImageView:
        return await self._images.get(request, caller_of(context))

    async def ListImages(
        self, request: engine_pb2.ListImagesRequest, context: Context
    ) -> engine_pb2.ListImagesResponse:
        return await self._images.list(request, caller_of(context))

    async def RemoveImage(
        self, request: engine_pb2.RemoveImageRequest, context: Context
    ) -> engine_pb2.RemoveImagesResponse:
        return await self._images.remove(request, caller_of(context))

    async def PruneImages(
        self, request: engine_pb2.PruneImagesRequest, context: Context
    ) -> engine_pb2.RemoveImagesResponse:
        return await self._images.prune(request, caller_of(context))
