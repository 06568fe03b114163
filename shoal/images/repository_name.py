"""Names of repositories and tags of the cluster's image repository. Pure."""

import re

from shoal.errors import InvalidInput
from shoal.image_reference import ImageReference, parse

DEFAULT_PATH = "shoal/pool"
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


def parse_repository_name(text: str) -> ImageReference:
    """A repository as a user writes it: "registry:5000/shoal/pool", or a registry alone, which has the default path.

    Raises:
        InvalidInput: it is none, or has a tag or a digest.
    """
    host, slash, _ = text.partition("/")
    is_host = not slash and (":" in host or "." in host or host == "localhost")
    found = parse(f"{text}/{DEFAULT_PATH}" if is_host else text)
    if found.tag or found.digest:
        raise InvalidInput(
            f'"{text[:100]}" must be a repository without a tag or digest, such as registry:5000/shoal/pool'
        )
    return found


def keeping_tag(digest: str) -> str:
    """The tag by which a manifest is kept: `m-<64 hex digits>`.

    Raises:
        InvalidInput: the digest is not sha256: longer ones make no tag (128 characters, distribution-spec).
    """
    found = _SHA256.fullmatch(digest)
    if found is None:
        raise InvalidInput(f"{digest[:80]!r} is not a sha256 digest")
    return f"m-{found[1]}"


def record_name(reference: ImageReference) -> str:
    """What a record of an image is called: a tag's reference, or one by digest, which then has no tag, as in Docker."""
    return f"{reference.name}@{reference.digest}" if reference.digest else str(reference.with_default_tag())
