"""Builds for tests, without a file."""

from collections.abc import Mapping
from typing import Any

from shoal.distribution.manifests import Platform
from shoal.dockerfile.document import parse_dockerfile
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.build_sources import ImageSource, image_source
from shoal.dockerfile.evaluation.build_steps import Action, CopyAction, RunAction
from shoal.dockerfile.evaluation.evaluate import EvaluatedStage, Evaluation, evaluate
from shoal.dockerfile.evaluation.needs import find_needs
from shoal.dockerfile.evaluation.stage_plan import StagePlan, plan_stages

AMD64, ARM = Platform("linux", "amd64"), Platform("linux", "arm", "v7")
Images = Mapping[str, Mapping[str, Any]]


def image(name: str, platform: Platform = AMD64) -> ImageSource:
    return image_source(name, platform)


def plan(text: str, **options: Any) -> StagePlan:
    return plan_stages(parse_dockerfile(text), BuildOptions(**{"platform": AMD64, "build_platform": AMD64, **options}))


def build(text: str, images: Images | None = None, **options: Any) -> Evaluation:
    """Evaluate a file; images that are not given have no settings."""
    planned = plan(text, **options)
    known: dict[ImageSource, Mapping[str, Any]] = {
        image(name, planned.options.platform): {"config": config} for name, config in (images or {}).items()
    }
    while unknown := find_needs(planned, known).unknown(known):
        known |= {source: {} for source in unknown}
    return evaluate(planned, known)


def stage(text: str, images: Images | None = None, **options: Any) -> EvaluatedStage:
    return build(text, images, **options).target


def history(text: str, images: Images | None = None, **options: Any) -> list[str]:
    return [line.created_by for line in stage(text, images, **options).lines]


def actions(text: str, images: Images | None = None, **options: Any) -> list[Action]:
    return [step.action for step in stage(text, images, **options).steps if step.action is not None]


def run(text: str, images: Images | None = None, **options: Any) -> RunAction:
    """The last RUN."""
    return [action for action in actions(text, images, **options) if isinstance(action, RunAction)][-1]


def copy(text: str, images: Images | None = None, **options: Any) -> CopyAction:
    """The last COPY or ADD."""
    return [action for action in actions(text, images, **options) if isinstance(action, CopyAction)][-1]


def variables(text: str, images: Images | None = None, **options: Any) -> dict[str, str]:
    """What the last RUN sees, but its path."""
    return {name: value for name, value in run(text, images, **options).environment if name != "PATH"}
