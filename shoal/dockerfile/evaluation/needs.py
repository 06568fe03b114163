"""Which stages a target needs, and what has to come from outside. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shoal.dockerfile.evaluation.add_sources import is_remote
from shoal.dockerfile.evaluation.build_sources import BuildSource, ContextSource, ImageSource, StageSource
from shoal.dockerfile.evaluation.stage_plan import StagePlan
from shoal.dockerfile.evaluation.triggers import ImageConfig, triggers_of
from shoal.dockerfile.instructions import Add, Copy, Instruction, Run
from shoal.dockerfile.mount_options import mount_source
from shoal.dockerfile.source import FaultList
from shoal.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class BuildNeeds:
    """What a target is made of.

    Attributes:
        stages: numbers, in the order of the file.
        base_images: stages begin with these; they may have triggers, which need more.
        copied_images: files come from these.
        contexts: by name; the main one is empty.
    """

    stages: tuple[int, ...]
    base_images: tuple[ImageSource, ...]
    copied_images: tuple[ImageSource, ...]
    contexts: tuple[str, ...]

    def unknown(self, images: Mapping[ImageSource, ImageConfig]) -> tuple[ImageSource, ...]:
        """Base images whose configuration has to be fetched before the needs are complete."""
        return tuple(image for image in self.base_images if image not in images)


def find_needs(plan: StagePlan, images: Mapping[ImageSource, ImageConfig]) -> BuildNeeds:
    """What the target of a plan needs, as far as images are known.

    Args:
        images: configurations of base images. Ask again with those that are unknown until there are none.

    Raises:
        InvalidInput: a `--from` names what cannot be copied from, or a trigger is no instruction.
    """
    faults = FaultList(plan.file_name)
    finder = _Finder(plan, images, faults)
    for index in range(len(plan.stages) - 1, -1, -1):  # a stage needs earlier ones alone
        finder.visit(index)
    faults.raise_any()
    return BuildNeeds(
        tuple(sorted(finder.stages)), tuple(finder.base_images), tuple(finder.copied_images), tuple(finder.contexts)
    )


@dataclass(slots=True)
class _Finder:
    plan: StagePlan
    images: Mapping[ImageSource, ImageConfig]
    faults: FaultList
    stages: set[int] = field(default_factory=set)
    base_images: dict[ImageSource, None] = field(default_factory=dict)
    copied_images: dict[ImageSource, None] = field(default_factory=dict)
    contexts: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages |= set(range(len(self.plan.stages))) if self.plan.every_stage else {self.plan.target}

    def visit(self, index: int) -> None:
        if index not in self.stages:
            return
        planned = self.plan.stages[index]
        self._add(planned.base, self.base_images)
        triggers = triggers_of(self.plan, index, self.images, self.faults)
        for instruction in (*triggers, *planned.stage.instructions):
            for name in source_names(instruction):
                self._copied(name, index, instruction)

    def _copied(self, name: str, index: int, instruction: Instruction) -> None:
        try:
            self._add(self.plan.names.copied(name, index, self.plan.options.platform), self.copied_images)
        except InvalidInput as error:
            self.faults.add(instruction.origin.location, str(error))

    def _add(self, source: BuildSource, images: dict[ImageSource, None]) -> None:
        if isinstance(source, StageSource):
            self.stages.add(source.index)
        elif isinstance(source, ImageSource):
            images[source] = None
        elif isinstance(source, ContextSource):
            self.contexts[source.name] = None


def source_names(instruction: Instruction) -> Iterator[str]:
    """The names of stages, images and contexts that an instruction has files from; the main context's is empty."""
    if isinstance(instruction, Copy):
        if instruction.sources or instruction.from_stage:
            yield instruction.from_stage
    elif isinstance(instruction, Add):
        if not all(map(is_remote, instruction.sources)):
            yield ""
    elif isinstance(instruction, Run):
        yield from (name for mount in instruction.mounts if (name := mount_source(mount)) is not None)
