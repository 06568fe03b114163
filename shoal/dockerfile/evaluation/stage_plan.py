"""What each stage begins with, and for which platform it is. Pure. Dockerfile reference, "FROM"."""

from dataclasses import dataclass
from difflib import get_close_matches

from shoal.distribution.manifests import Platform
from shoal.dockerfile.document import Document, Stage
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.build_sources import BuildSource, ScratchSource, SourceNames, StageSource
from shoal.dockerfile.evaluation.global_scope import GlobalScope, read_global_scope
from shoal.dockerfile.evaluation.platforms import parse_platform
from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.source import FaultList
from shoal.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """Attributes:
    undeclared: names in FROM that no ARG before it declares.
    """

    stage: Stage
    base: BuildSource
    platform: Platform
    undeclared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StagePlan:
    """All stages of a file, and which of them is built.

    Attributes:
        target: the number of the stage.
        every_stage: all of them are evaluated, needed or not: checks want to see them.
        file_name: what users call the file.
    """

    document: Document
    options: BuildOptions
    names: SourceNames
    scope: GlobalScope
    stages: tuple[PlannedStage, ...]
    target: int
    file_name: str
    every_stage: bool = False


def plan_stages(
    document: Document, options: BuildOptions, file_name: str = "Dockerfile", *, every_stage: bool = False
) -> StagePlan:
    """Replace variables in FROM lines, and find what they mean.

    Raises:
        InvalidInput: with every fault in the lines of FROM and in the ARGs before them.
        NotFound: there is no such target.
    """
    target = document.stage(options.target).index
    faults = FaultList(file_name)
    scope = read_global_scope(document, options, faults)
    names = SourceNames(document.stages, options.contexts)
    planner = _Planner(document, options, names, scope)
    for stage in document.stages:
        try:
            planner.add(stage)
        except InvalidInput as error:
            faults.add(stage.base.origin.location, str(error))
            planner.skip(stage)
    faults.raise_any()
    return StagePlan(document, options, names, scope, tuple(planner.stages), target, file_name, every_stage)


def suggest(name: str, known: frozenset[str]) -> str:
    """` (did you mean X?)`, or nothing."""
    close = get_close_matches(name, sorted(known), 1, 0.6)
    return f" (did you mean {close[0]}?)" if close else ""


class _Planner:
    def __init__(self, document: Document, options: BuildOptions, names: SourceNames, scope: GlobalScope) -> None:
        self._escape = document.directives.escape
        self._options = options
        self._names = names
        self._scope = scope
        self.stages: list[PlannedStage] = []

    def add(self, stage: Stage) -> None:
        expander = Expander(self._scope.values, self._escape)
        platform = self._platform(stage, expander)
        name = expander.word(stage.base.image)
        if not name.strip():
            raise InvalidInput(f"base name ({stage.base.image[:80]}) should not be blank")
        base = self._names.base(name, stage.index, platform or self._options.platform)
        if platform is None:
            platform = self.stages[base.index].platform if isinstance(base, StageSource) else self._options.platform
        undeclared = tuple(name for name in expander.unset if name not in self._scope.declared)
        self.stages.append(PlannedStage(stage, base, platform, undeclared))

    def skip(self, stage: Stage) -> None:
        """Stages after one with a fault still find it."""
        self.stages.append(PlannedStage(stage, ScratchSource(), self._options.platform))

    def _platform(self, stage: Stage, expander: Expander) -> Platform | None:
        written = stage.base.platform
        if not written:
            return None
        text = expander.word(written)
        hint = next((suggest(name, self._scope.declared) for name in expander.unset), "")
        if not text.strip():
            raise InvalidInput(f"empty platform value from expression {written[:80]}{hint}")
        try:
            return parse_platform(text, self._options.platform)
        except InvalidInput as error:
            raise InvalidInput(f"{error}{hint}") from error
