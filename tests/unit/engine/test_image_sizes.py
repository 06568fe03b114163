"""Sizes of images: what each shares with others, and all layers together."""

from engine.translate.images.images import layers_size, shared_sizes
from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.standalone_pb2 import Image, ImageVariant


def image(name: str, **layers: int) -> ImageView:
    variant = ImageVariant(config_digest=name, layers=layers, layer_bytes=layers.values())
    return ImageView(image=Image(variants=[variant]))


def test_a_layer_of_several_images_is_shared_and_counts_once() -> None:
    views = [image("one", base=100, app=7), image("two", base=100, other=9), image("alone", own=50)]
    assert shared_sizes(views) == {"one": 100, "two": 100, "alone": 0}
    assert layers_size(views) == 100 + 7 + 9 + 50


def test_a_layer_twice_in_one_image_is_not_shared() -> None:
    views = [image("one", base=10), ImageView(image=Image())]
    assert shared_sizes(views) == {"one": 0}


def test_two_names_of_one_image_share_nothing() -> None:
    assert shared_sizes([image("one", base=10), image("one", base=10)]) == {"one": 0}
