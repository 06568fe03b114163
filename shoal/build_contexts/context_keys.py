"""Which contexts of builds are compared."""

import hashlib

from shoal.image_reference import parse


def image_context_key(name: str) -> str:
    """Of the contexts of an image, whatever its tag and whichever program builds it. Raises InvalidInput."""
    return hashlib.sha256(parse(name).name.encode()).hexdigest()
