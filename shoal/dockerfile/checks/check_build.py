"""All checks of a build. Pure."""

from collections.abc import Mapping

from shoal.dockerfile.checks.check_options import BUILD_ARGUMENT, CheckOptions, parse_check_options
from shoal.dockerfile.checks.check_warnings import CheckReport, WarningCollector
from shoal.dockerfile.checks.file_checks import check_file
from shoal.dockerfile.checks.from_checks import check_bases
from shoal.dockerfile.checks.stage_checks import StageChecker
from shoal.dockerfile.document import Document
from shoal.dockerfile.evaluation.build_sources import ImageSource, StageSource
from shoal.dockerfile.evaluation.evaluate import Evaluation
from shoal.dockerfile.evaluation.triggers import ImageConfig, settings_of
from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.dockerfile.image_settings import texts_of


def check_options(document: Document, arguments: Mapping[str, str]) -> CheckOptions:
    """What the file wants of checks, or else what `--build-arg BUILDKIT_DOCKERFILE_CHECK` says.

    Raises:
        InvalidInput: an option is unknown.
    """
    return parse_check_options(arguments.get(BUILD_ARGUMENT, document.directives.check))


def check_document(document: Document, arguments: Mapping[str, str]) -> CheckReport:
    """Checks that need no image. Raises InvalidInput: see `check_options`."""
    warnings = WarningCollector(check_options(document, arguments), document.lines)
    check_file(document, warnings)
    return warnings.report()


def check_build(
    evaluation: Evaluation, images: Mapping[ImageSource, ImageConfig], ignored: PatternMatcher | None = None
) -> CheckReport:
    """All checks, of the stages that were evaluated.

    Args:
        images: configurations of base images.
        ignored: the patterns of .dockerignore.

    Raises:
        InvalidInput: see `check_options`.
    """
    plan = evaluation.plan
    warnings = WarningCollector(check_options(plan.document, plan.options.arguments), plan.document.lines)
    check_file(plan.document, warnings)
    check_bases(plan, images, warnings)
    checkers: dict[int, StageChecker] = {}
    for index, stage in evaluation.stages.items():
        checker = StageChecker(warnings, ignored=ignored)
        if isinstance(stage.base, StageSource):
            parent = checkers[stage.base.index]
            checker.has_shell, checker.has_directory = parent.has_shell, parent.has_directory
        elif isinstance(stage.base, ImageSource):
            checker.has_shell = bool(texts_of(settings_of(images.get(stage.base, {})), "Shell"))
        checker.check(stage)
        checkers[index] = checker
    return warnings.report()
