"""ONBUILD triggers: instructions that a base leaves to what is built on it. Pure. Dockerfile reference, "ONBUILD"."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from shoal.dockerfile.evaluation.build_sources import ImageSource, StageSource
from shoal.dockerfile.evaluation.stage_plan import StagePlan
from shoal.dockerfile.image_settings import texts_of
from shoal.dockerfile.instruction_parsers import parse_instruction
from shoal.dockerfile.instructions import From, Instruction, Maintainer, OnBuild
from shoal.dockerfile.lines import read_lines
from shoal.dockerfile.source import FaultList, Location
from shoal.errors import InvalidInput

ImageConfig = Mapping[str, Any]
"""An image's configuration (OCI image-spec, config.md): from outside, of any shape."""

MAX_TRIGGERS = 100
_REFUSED = (From, Maintainer, OnBuild)


def triggers_of(
    plan: StagePlan, index: int, images: Mapping[ImageSource, ImageConfig], faults: FaultList
) -> tuple[Instruction, ...]:
    """The triggers of what a stage begins with; they stand where its FROM is. None of an image that is not known."""
    planned = plan.stages[index]
    location = planned.stage.base.origin.location
    escape = "\\"
    texts: tuple[str, ...] = ()
    if isinstance(planned.base, StageSource):
        parent = plan.stages[planned.base.index].stage
        texts = tuple(each.instruction for each in parent.instructions if isinstance(each, OnBuild))
        escape = plan.document.directives.escape
    elif isinstance(planned.base, ImageSource):
        texts = texts_of(settings_of(images.get(planned.base, {})), "OnBuild")
    if len(texts) > MAX_TRIGGERS:
        faults.add(location, f"the base has {len(texts)} ONBUILD triggers; the maximum is {MAX_TRIGGERS}")
        return ()
    return tuple(_parse(texts, escape, location, faults))


def settings_of(image: ImageConfig) -> dict[str, Any]:
    """The `config` object of an image, which may be missing."""
    found = image.get("config")
    return found if isinstance(found, dict) else {}


def _parse(texts: Iterable[str], escape: str, location: Location, faults: FaultList) -> Iterable[Instruction]:
    for text in texts:
        inner = FaultList()
        try:
            lines = tuple(read_lines(text, escape, inner))
            inner.raise_any()
            for line in lines:
                instruction = parse_instruction(line, escape)
                if isinstance(instruction, _REFUSED):
                    raise InvalidInput(f"{text.split()[0].upper()} isn't allowed as an ONBUILD trigger")
                yield replace(instruction, origin=replace(instruction.origin, location=location))
        except InvalidInput as error:
            faults.add(location, f"ONBUILD trigger {text[:80]!r}: {error.faults[0].message}")
