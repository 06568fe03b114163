"""Naming an image that was copied while it was being removed."""

from typing import cast

import grpc
import pytest

from cli.client import Client
from cli.commands.image.image_calls import name_copied_image
from shoal.api.v1.engine_pb2 import SetImageRequest
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import NotFound


class Managers:
    """Say that the bytes are gone, a few times."""

    def __init__(self, failures: int) -> None:
        self.channel = grpc.insecure_channel("unix:///nowhere")
        self._failures = failures

    def call(self, method: object, request: SetImageRequest) -> Image:
        del method
        self._failures -= 1
        if self._failures >= 0:
            raise NotFound("push it again")
        return request.image


@pytest.mark.parametrize(("failures", "digest"), [(0, "first"), (1, "again")])
def test_it_is_copied_once_more(failures: int, digest: str) -> None:
    named = name_copied_image(cast(Client, Managers(failures)), Image(digest="first"), lambda: Image(digest="again"))
    assert named.digest == digest


def test_it_is_not_copied_for_ever() -> None:
    with pytest.raises(NotFound):
        name_copied_image(cast(Client, Managers(2)), Image(), Image)
