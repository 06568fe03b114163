"""Checks of FROM lines: platforms, ARGs, bases. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from shoal.distribution.manifests import Platform
from shoal.dockerfile.checks import check_rules as rules
from shoal.dockerfile.checks.check_warnings import WarningCollector
from shoal.dockerfile.evaluation.build_sources import ImageSource, SourceNames
from shoal.dockerfile.evaluation.global_scope import GlobalScope, read_global_scope
from shoal.dockerfile.evaluation.platforms import parse_platform
from shoal.dockerfile.evaluation.stage_plan import PlannedStage, StagePlan, suggest
from shoal.dockerfile.evaluation.triggers import ImageConfig
from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.source import FaultList
from shoal.errors import InvalidInput

_TARGET_PLATFORM = ("$TARGETPLATFORM", "${TARGETPLATFORM}")


def check_bases(plan: StagePlan, images: Mapping[ImageSource, ImageConfig], warnings: WarningCollector) -> None:
    """Warn of what FROM lines say.

    Args:
        images: configurations of base images; a platform is compared where one is known.
    """
    defaults = read_global_scope(plan.document, replace(plan.options, arguments={}), FaultList())
    for planned in plan.stages:
        _check_platform_flag(planned, warnings)
        _check_arguments(plan, planned, defaults, warnings)
        if isinstance(planned.base, ImageSource) and planned.base in images:
            _check_image(planned.base, images[planned.base], planned, warnings)


def _check_platform_flag(planned: PlannedStage, warnings: WarningCollector) -> None:
    base, written = planned.stage.base, planned.stage.base.platform
    if written in _TARGET_PLATFORM:
        text = f"Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
        warnings.add(rules.REDUNDANT_TARGET_PLATFORM, base.origin.location, text)
    if not written or "$" in written:
        return
    if not any(part in base.alias for part in (planned.platform.os, planned.platform.architecture)):
        text = f'FROM --platform flag should not use constant value "{written}"'
        warnings.add(rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED, base.origin.location, text)


def _check_arguments(plan: StagePlan, planned: PlannedStage, defaults: GlobalScope, warnings: WarningCollector) -> None:
    location = planned.stage.base.origin.location
    for name in planned.undeclared:
        detail = f"FROM argument '{name}' is not declared{suggest(name, plan.scope.declared)}"
        warnings.add(rules.UNDEFINED_ARG_IN_FROM, location, detail)
    written = planned.stage.base.image
    if "$" in written and not _is_base(plan, planned, defaults):
        detail = f"Default value for ARG {written} results in empty or invalid base image name"
        warnings.add(rules.INVALID_DEFAULT_ARG_IN_FROM, location, detail)


def _is_base(plan: StagePlan, planned: PlannedStage, scope: GlobalScope) -> bool:
    names = SourceNames(plan.document.stages, plan.options.contexts)
    try:
        name = Expander(scope.values, plan.document.directives.escape).word(planned.stage.base.image)
        names.base(name, planned.stage.index, planned.platform)
    except InvalidInput:
        return False
    return bool(name.strip())


def _check_image(source: ImageSource, image: ImageConfig, planned: PlannedStage, warnings: WarningCollector) -> None:
    parts = (image.get("os"), image.get("architecture"), image.get("variant"))
    system, architecture, variant = (part if isinstance(part, str) else "" for part in parts)
    if not system or not architecture:
        return
    try:
        found = parse_platform(str(Platform(system, architecture, variant)), source.platform)
    except InvalidInput:
        return
    expected = source.platform
    if (found.os, found.architecture) != (expected.os, expected.architecture) or (variant and found != expected):
        detail = (
            f'Base image {planned.stage.base.image} was pulled with platform "{found}", '
            f'expected "{expected}" for current build'
        )
        warnings.add(rules.INVALID_BASE_IMAGE_PLATFORM, planned.stage.base.origin.location, detail)
