"""A Dockerfile as it is read before anything is sent: its faults and its images."""

from shoal.api.v1.builds_pb2 import BuildStart
from shoal.distribution.manifests import Platform, host_platform
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.file_needs import needs_of_file
from shoal.errors import InvalidInput


def images_of(text: bytes, name: str, start: BuildStart) -> list[str]:
    """The images that a build begins with or copies from, as far as base images have no triggers.

    Args:
        name: of the file, for its faults.
        start: what is asked for.
    Raises:
        InvalidInput: every fault of the file. NotFound: there is no such target.
    """
    here = host_platform()
    options = BuildOptions(
        platform=platform_of(start.platform) or here,
        build_platform=here,
        target=start.target,
        arguments=dict(start.build_args),
        labels=dict(start.labels),
        contexts=dict(start.contexts),
    )
    return list(needs_of_file(text, name, options).images)


def platform_of(text: str) -> Platform | None:
    """A platform in "linux/arm64/v8"; None: none was given.

    Raises:
        InvalidInput: it is none.
    """
    if not text:
        return None
    parts = text.lower().split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InvalidInput(f"{text!r} must be in the form os/architecture[/variant], such as linux/arm64")
    return Platform(*parts)
