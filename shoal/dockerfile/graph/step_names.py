"""Names of steps as BuildKit shows their progress: `[build 2/3] RUN make`. Pure."""

from collections.abc import Iterator

from shoal.dockerfile.evaluation.build_sources import ContextSource, ImageSource
from shoal.dockerfile.evaluation.evaluate import EvaluatedStage, Evaluation


def stage_name(evaluation: Evaluation, index: int) -> str:
    """What progress calls a stage: nothing if it is the only one and has no name."""
    stage = evaluation.plan.stages[index].stage
    if stage.base.alias:
        return stage.base.alias
    return f"stage-{index}" if len(evaluation.plan.stages) > 1 else ""


def base_name(evaluation: Evaluation, index: int) -> str | None:
    """`[build 1/3] FROM docker.io/library/gcc:14`; None: the stage begins with nothing, or with another stage."""
    stage = evaluation.stages[index]
    if isinstance(stage.base, ImageSource):
        return f"{_prefix(evaluation, index, 1)} FROM {stage.base.reference}"
    if isinstance(stage.base, ContextSource):
        return f"{_prefix(evaluation, index, 1)} FROM {stage.base.name}"
    return None


def step_names(evaluation: Evaluation, index: int) -> Iterator[str | None]:
    """For each step its name; None: it changes the configuration alone, and has no progress."""
    stage = evaluation.stages[index]
    number = _first(stage)
    for step in stage.steps:
        if step.action is None:
            yield None
            continue
        yield f"{_prefix(evaluation, index, number)} {step.origin.text}"
        number += 1


def _first(stage: EvaluatedStage) -> int:
    return 2 if isinstance(stage.base, ImageSource | ContextSource) else 1


def _prefix(evaluation: Evaluation, index: int, number: int) -> str:
    stage = evaluation.stages[index]
    total = _first(stage) - 1 + sum(step.action is not None for step in stage.steps)
    return f"[{' '.join(filter(None, (stage_name(evaluation, index), f'{number}/{total}')))}]"
