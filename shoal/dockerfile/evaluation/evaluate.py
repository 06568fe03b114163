"""All stages that a target needs, evaluated. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shoal.distribution.manifests import MAX_LAYERS, Platform
from shoal.dockerfile.evaluation.build_sources import BuildSource, ImageSource, StageSource
from shoal.dockerfile.evaluation.build_steps import HistoryLine, Step
from shoal.dockerfile.evaluation.global_scope import is_predefined, proxy_environment
from shoal.dockerfile.evaluation.needs import BuildNeeds, find_needs
from shoal.dockerfile.evaluation.stage_evaluator import StageEvaluator, UndefinedVariable
from shoal.dockerfile.evaluation.stage_plan import PlannedStage, StagePlan
from shoal.dockerfile.evaluation.stage_scope import StageScope
from shoal.dockerfile.evaluation.triggers import ImageConfig, settings_of, triggers_of
from shoal.dockerfile.image_settings import Settings, copy_settings, environment_of, texts_of
from shoal.dockerfile.source import FaultList
from shoal.errors import InvalidInput, NotFound

MAX_HISTORY = 5_000
"""Lines of a stage, with those of the stages that it is built on."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class EvaluatedStage:
    """A stage after its last instruction.

    Attributes:
        base_history: of the image that it begins with, as its configuration has it.
        lines: of the history since then, those of stages that it is built on first.
        settings: the `config` object of its configuration.
        scope: its variables; stages that are built on it inherit them.
    """

    planned: PlannedStage
    steps: tuple[Step, ...]
    settings: Settings
    author: str
    base_history: tuple[Mapping[str, Any], ...]
    lines: tuple[HistoryLine, ...]
    scope: StageScope
    undefined: tuple[UndefinedVariable, ...] = ()

    @property
    def base(self) -> BuildSource:
        return self.planned.base

    @property
    def platform(self) -> Platform:
        return self.planned.platform

    def history(self, created: str) -> Iterator[Mapping[str, Any]]:
        """The whole history as a configuration has it; `created` is the time of the build (RFC 3339)."""
        yield from self.base_history
        for line in self.lines:
            yield _history_object(line, created)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result.

    Attributes:
        stages: those that the target needs, by their numbers.
        unused_arguments: names of `--build-arg` that nothing declares.
    """

    plan: StagePlan
    needs: BuildNeeds
    stages: Mapping[int, EvaluatedStage]
    unused_arguments: tuple[str, ...]

    @property
    def target(self) -> EvaluatedStage:
        return self.stages[self.plan.target]


def evaluate(plan: StagePlan, images: Mapping[ImageSource, ImageConfig]) -> Evaluation:
    """Evaluate what the target of a plan needs.

    Args:
        images: configurations of all base images: see `find_needs`.

    Raises:
        NotFound: the configuration of a base image is missing.
        InvalidInput: with every fault that shows once variables are replaced.
    """
    needs = find_needs(plan, images)
    if unknown := needs.unknown(images):
        raise NotFound(f"the configuration of {', '.join(image.reference for image in unknown)} is not known")
    faults = FaultList(plan.file_name)
    stages: dict[int, EvaluatedStage] = {}
    for index in needs.stages:
        stages[index] = _evaluate_stage(plan, index, images, stages, faults)
    faults.raise_any()
    stages[plan.target] = _with_labels(stages[plan.target], plan.options.labels)
    return Evaluation(plan, needs, stages, _unused(plan, stages.values()))


def image_config(stage: EvaluatedStage, diff_ids: Sequence[str], created: str) -> dict[str, Any]:
    """The configuration of an image of this stage (OCI image-spec, config.md).

    Args:
        diff_ids: of all its layers, those of the base first.
        created: RFC 3339.
    """
    platform = stage.platform
    return {
        "architecture": platform.architecture,
        "os": platform.os,
        **({"variant": platform.variant} if platform.variant else {}),
        **({"author": stage.author} if stage.author else {}),
        "created": created,
        "config": copy_settings(stage.settings),
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": list(stage.history(created)),
    }


def _evaluate_stage(
    plan: StagePlan,
    index: int,
    images: Mapping[ImageSource, ImageConfig],
    stages: Mapping[int, EvaluatedStage],
    faults: FaultList,
) -> EvaluatedStage:
    planned = plan.stages[index]
    base = _base_of(planned.base, images, stages)
    evaluator = _begin(plan, planned, base)
    steps: list[Step] = []
    for instruction in (*triggers_of(plan, index, images, faults), *planned.stage.instructions):
        if faults.is_full:
            break
        try:
            steps.append(evaluator.evaluate(instruction))
        except InvalidInput as error:
            faults.add(instruction.origin.location, str(error))
    _check_bounds(planned, base.lines, steps, faults)
    return EvaluatedStage(
        planned,
        tuple(steps),
        evaluator.settings,
        evaluator.author,
        base.history,
        (*base.lines, *(step.history for step in steps)),
        evaluator.scope,
        tuple(evaluator.undefined),
    )


def _check_bounds(
    planned: PlannedStage, lines: Sequence[HistoryLine], steps: Sequence[Step], faults: FaultList
) -> None:
    count = len(lines) + len(steps)
    layers = sum(not line.is_empty for line in (*lines, *(step.history for step in steps)))
    location = planned.stage.base.origin.location
    if count > MAX_HISTORY:
        faults.add(location, f"the stage has {count} instructions; the maximum is {MAX_HISTORY}")
    if layers > MAX_LAYERS:
        faults.add(location, f"the stage has {layers} instructions that make layers; the maximum is {MAX_LAYERS}")


@dataclass(frozen=True, slots=True)
class _Base:
    settings: Mapping[str, Any]
    author: str = ""
    history: tuple[Mapping[str, Any], ...] = ()
    lines: tuple[HistoryLine, ...] = ()
    scope: StageScope | None = None


def _base_of(
    source: BuildSource, images: Mapping[ImageSource, ImageConfig], stages: Mapping[int, EvaluatedStage]
) -> _Base:
    """What a stage begins with; one without an image has the settings of BuildKit's empty image."""
    if isinstance(source, StageSource):
        parent = stages[source.index]
        return _Base(parent.settings, parent.author, parent.base_history, parent.lines, parent.scope)
    if isinstance(source, ImageSource):
        image = images[source]
        author = image.get("author")
        return _Base(_with_path(settings_of(image)), author if isinstance(author, str) else "", _base_history(image))
    return _Base({"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"})


def _with_path(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """A stage always has a PATH, also where its base image, such as an imported one, has none."""
    if "PATH" in environment_of(settings):
        return settings
    return {**settings, "Env": [*texts_of(settings, "Env"), f"PATH={DEFAULT_PATH}"]}


def _begin(plan: StagePlan, planned: PlannedStage, base: _Base) -> StageEvaluator:
    settings = copy_settings(base.settings)
    settings.pop("OnBuild", None)
    scope = StageScope(
        environment_of(settings),
        global_scope=plan.scope,
        build_arguments=plan.options.arguments,
        parent=base.scope,
    )
    index = planned.stage.index
    return StageEvaluator(
        settings=settings,
        scope=scope,
        platform=planned.platform,
        escape=plan.document.directives.escape,
        find_source=lambda name: plan.names.copied(name, index, plan.options.platform),
        proxies=proxy_environment(plan.options.arguments),
        author=base.author,
    )


def _base_history(image: ImageConfig) -> tuple[Mapping[str, Any], ...]:
    listed = image.get("history")
    return tuple(each for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()


def _history_object(line: HistoryLine, created: str) -> Mapping[str, Any]:
    empty = {"empty_layer": True} if line.is_empty else {}
    return {"created": created, "created_by": line.created_by, "comment": line.comment, **empty}


def _with_labels(stage: EvaluatedStage, labels: Mapping[str, str]) -> EvaluatedStage:
    if not labels:
        return stage
    known = stage.settings.get("Labels")
    return replace(
        stage, settings={**stage.settings, "Labels": {**(known if isinstance(known, dict) else {}), **labels}}
    )


def _unused(plan: StagePlan, stages: Iterable[EvaluatedStage]) -> tuple[str, ...]:
    declared = set(plan.scope.declared).union(*(stage.scope.declared for stage in stages))
    unused = (name for name in plan.options.arguments if name not in declared and not is_predefined(name))
    return tuple(sorted(unused))
