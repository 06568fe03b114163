"""Push an image from files to a registry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from shoal.distribution.registries import Registries
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.images.archive import open_source
from shoal.images.compress import Compressor
from shoal.images.progress import LayerProgress, LayerState
from shoal.images.stream_compressor import Compression

Say = Callable[[str], None]


@dataclass(frozen=True)
class PushResult:
    """What a push did: `reference` is pinned to the digest that it has now."""

    reference: str
    digest: str
    blobs_sent: int
    blobs_existing: int


async def push(
    source: Path,
    reference: str,
    registries: Registries,
    say: Say,
    *,
    compression: Compression = "gzip",
    policy: RetryPolicy | None = None,
) -> PushResult:
    """Push the image in an OCI layout (a directory or a tar of it) or a docker archive under a reference's tag.

    Blobs go first, then manifests, the tag last: a push that breaks off leaves the tag as it was.

    Args:
        say: called with a line for what happens to each blob.
        compression: of layers that are plain tars in the files; their image's manifest has another digest then. What is
            compressed already stays as it is.
    Raises:
        NotFound: no such file, or no single image in it for the tag.
        InvalidInput: it is no image, the reference is broken or has a digest.
        Exhausted: no room for what is compressed.
        Unauthenticated, PermissionDenied, Unavailable: as the registry answers.
    """
    from shoal.distribution.registry_client import Distribution
    from shoal.images.upload import Upload  # httpx costs 86 ms: only for who pushes

    target = parse(reference)
    if target.digest:
        raise InvalidInput(f"{reference}: specify a tag, not a digest")
    with open_source(source) as images, TemporaryDirectory(prefix="shoal-push-") as scratch:
        top = images.choose(target.target)

        def progress(step: LayerProgress) -> None:
            if line := progress_line(step):
                say(line)

        compressor = Compressor(images, Path(scratch), compression, progress)
        async with Distribution(registries, policy=policy) as distribution:
            run = Upload(images, distribution.repository(target), compressor, progress)
            digest = (await run.manifest(top, target.target)).digest
    return PushResult(str(target.with_default_tag().with_digest(digest)), digest, run.sent, run.existing)


def progress_line(step: LayerProgress) -> str:
    """One line for the beginning of a compression and for the end of a transfer; empty for what is between."""
    name, size = step.digest[:19], f"({step.total_bytes / 1e6:.1f} MB)"
    lines = {
        LayerState.COMPRESSING: f"compressing {name} {size}",
        LayerState.DONE: f"pushed {name} {size}",
        LayerState.EXISTS: f"{name} already exists",
    }
    return lines.get(step.state, "")
