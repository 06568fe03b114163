"""Where files of a build come from: stages, images, contexts. Pure."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from shoal import image_reference
from shoal.distribution.manifests import Platform
from shoal.dockerfile.document import Stage
from shoal.errors import InvalidInput

SCRATCH = "scratch"
_IMAGE_SCHEME = "docker-image://"


@dataclass(frozen=True, slots=True)
class StageSource:
    """Another stage, by its number in the file."""

    index: int


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image of a registry, by its normalised reference."""

    reference: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class ContextSource:
    """A context of files; the main one has no name."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class ScratchSource:
    """Nothing at all."""


BuildSource = StageSource | ImageSource | ContextSource | ScratchSource


class SourceNames:
    """What names in FROM and `--from` mean: contexts come before stages, these before images.

    Args:
        contexts: `BuildOptions.contexts`.
    """

    def __init__(self, stages: Sequence[Stage], contexts: Mapping[str, str]) -> None:
        self._stages = stages
        self._numbers: dict[str, list[int]] = {}
        for stage in stages:
            self._numbers.setdefault(stage.base.alias, []).append(stage.index)
        self._contexts = {_canonical(name): (name, value) for name, value in contexts.items()}

    def base(self, name: str, index: int, platform: Platform) -> BuildSource:
        """What the stage with number `index` begins with. Raises InvalidInput: the name is none of an image."""
        if name == SCRATCH:
            return ScratchSource()
        if (context := self._context(name, platform)) is not None:
            return context
        if (stage := self._stage_before(name, index)) is not None:
            return StageSource(stage)
        return image_source(name, platform)

    def copied(self, name: str, index: int, platform: Platform) -> BuildSource:
        """What `--from` means in the stage with number `index`.

        Args:
            platform: of the build: files of an image are those of the result, whatever the stage is for.

        Raises:
            InvalidInput: the stage is not there yet, or the name is none of an image.
        """
        if not name:
            return ContextSource()
        if "$" in name:
            text = "variable expansion is not supported for --from, define a new stage with FROM using ARG from global"
            raise InvalidInput(f"{text} scope as a workaround")
        if (context := self._context(name, platform)) is not None:
            return context
        stage = self._stage_before(name, index)
        if stage is None and name.isascii() and name.isdecimal():
            stage = self._numbered(name, index)
        if stage is None:
            self._check_later(name, index)
            return ScratchSource() if name == SCRATCH else image_source(name, platform)
        return StageSource(stage)

    def _context(self, name: str, platform: Platform) -> BuildSource | None:
        if not self._contexts:
            return None
        canonical = _canonical(name)
        found = self._contexts.get(f"{canonical}::{platform}") or self._contexts.get(canonical)
        if found is None:
            return None
        own_name, value = found
        if value == f"{_IMAGE_SCHEME}{SCRATCH}":
            return ScratchSource()
        if value.startswith(_IMAGE_SCHEME):
            return image_source(value.removeprefix(_IMAGE_SCHEME), platform)
        return ContextSource(own_name)

    def _stage_before(self, name: str, index: int) -> int | None:
        numbers = self._numbers.get(name.lower(), [])
        place = bisect_left(numbers, index)
        return numbers[place - 1] if place else None

    def _numbered(self, name: str, index: int) -> int:
        number = int(name[:9])
        if number >= index:
            raise InvalidInput(f"invalid stage index {name[:9]}: only {index} stages are defined before this one")
        return number

    def _check_later(self, name: str, index: int) -> None:
        numbers = self._numbers.get(name.lower(), [])
        if not numbers:
            return
        later = self._stages[numbers[0]]
        if later.index == index:
            raise InvalidInput(f"circular dependency detected on stage: {later.name}")
        text = f'cannot copy from stage "{later.name}", it needs to be defined before current stage'
        raise InvalidInput(f'{text} "{self._stages[index].name}"')


def image_source(name: str, platform: Platform) -> ImageSource:
    """An image. Raises InvalidInput: the name is none."""
    return ImageSource(str(image_reference.parse(name).with_default_tag()), platform)


def _canonical(name: str) -> str:
    """Names of contexts match those of images in any form, and those of stages in any case.

    `name::linux/arm64` is one for a platform.
    """
    plain, separator, platform = name.lower().partition("::")
    with suppress(InvalidInput):
        plain = str(image_reference.parse(plain).with_default_tag())
    return f"{plain}{separator}{platform}"
