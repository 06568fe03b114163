"""The graph of one build. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shoal.dockerfile.evaluation.build_sources import BuildSource, ContextSource, ImageSource, StageSource
from shoal.dockerfile.evaluation.build_steps import Action, CopyAction, DirectoryAction, RunAction, SourcedMount, Step
from shoal.dockerfile.evaluation.evaluate import EvaluatedStage, Evaluation
from shoal.dockerfile.graph.vertices import (
    ConfigVertex,
    ContextVertex,
    CopyVertex,
    DirectoryVertex,
    ImageVertex,
    MergeVertex,
    RunVertex,
    ScratchVertex,
    Vertex,
)
from shoal.dockerfile.run_mounts import BindMount, CacheMount


@dataclass(frozen=True, slots=True)
class BuildGraph:
    """What has to be done, each thing once.

    Attributes:
        vertices: the inputs of each stand before it; its number is its place.
        target: the number of the ConfigVertex.
        steps: for each step of each stage, the number of the vertex whose files it leaves; a step that changes the
            configuration alone leaves those of the step before it.
    """

    vertices: tuple[Vertex, ...]
    target: int
    steps: Mapping[int, tuple[int, ...]]

    def dependents(self) -> tuple[tuple[int, ...], ...]:
        """For each vertex, the numbers of those that need it."""
        found: list[list[int]] = [[] for _ in self.vertices]
        for number, vertex in enumerate(self.vertices):
            for source in dict.fromkeys(vertex.inputs):
                found[source].append(number)
        return tuple(map(tuple, found))


def build_graph(evaluation: Evaluation) -> BuildGraph:
    """The graph of the target: stages that it has no files from are not in it."""
    builder = _Builder()
    for index in _used_stages(evaluation):
        builder.add_stage(index, evaluation.stages[index])
    target = evaluation.plan.target
    last = builder.add(ConfigVertex(builder.results[target], target))
    return BuildGraph(tuple(builder.numbers), last, builder.steps)


def _used_stages(evaluation: Evaluation) -> list[int]:
    """The target and all that its steps have files from, in the order of the file."""
    used = {evaluation.plan.target}
    for index in range(evaluation.plan.target, -1, -1):
        if index in used:
            stage = evaluation.stages[index]
            sources = (stage.base, *(source for step in stage.steps for source in _sources(step.action)))
            used |= {source.index for source in sources if isinstance(source, StageSource)}
    return sorted(used)


def _sources(action: Action | None) -> tuple[BuildSource | None, ...]:
    if isinstance(action, CopyAction):
        return (action.source,)
    return tuple(mount.source for mount in action.mounts) if isinstance(action, RunAction) else ()


@dataclass(slots=True)
class _Builder:
    numbers: dict[Vertex, int] = field(default_factory=dict)
    results: dict[int, int] = field(default_factory=dict)
    steps: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def add(self, vertex: Vertex) -> int:
        """Its number; that of the equal one if there is one."""
        return self.numbers.setdefault(vertex, len(self.numbers))

    def add_stage(self, index: int, stage: EvaluatedStage) -> None:
        current = self._source(stage.base)
        left: list[int] = []
        for step in stage.steps:
            current = self._step(step, current)
            left.append(current)
        self.steps[index] = tuple(left)
        self.results[index] = current

    def _step(self, step: Step, parent: int) -> int:
        action = step.action
        if isinstance(action, RunAction):
            return self._run(action, parent)
        if isinstance(action, CopyAction):
            return self._copy(action, parent)
        if isinstance(action, DirectoryAction):
            return self.add(DirectoryVertex(parent, action))
        return parent

    def _run(self, action: RunAction, parent: int) -> int:
        mounted = tuple(None if mount.source is None else self._source(mount.source) for mount in action.mounts)
        return self.add(RunVertex(parent, replace(action, mounts=tuple(map(_anonymous, action.mounts))), mounted))

    def _copy(self, action: CopyAction, parent: int) -> int:
        source = None if action.source is None else self._source(action.source)
        action = replace(action, source=None)
        if not action.flags.link:
            return self.add(CopyVertex(parent, action, source))
        return self.add(MergeVertex(parent, self.add(CopyVertex(None, action, source))))

    def _source(self, source: BuildSource) -> int:
        if isinstance(source, StageSource):
            return self.results[source.index]
        if isinstance(source, ImageSource):
            return self.add(ImageVertex(source))
        if isinstance(source, ContextSource):
            return self.add(ContextVertex(source.name))
        return self.add(ScratchVertex())


def _anonymous(mount: SourcedMount) -> SourcedMount:
    """Without what the file calls its source."""
    plain = mount.mount
    if isinstance(plain, BindMount | CacheMount):
        return SourcedMount(replace(plain, from_stage=""))
    return SourcedMount(plain)
