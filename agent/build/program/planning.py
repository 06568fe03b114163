"""From the Dockerfile to a graph: reads it, fetches the configurations of base images, evaluates and checks it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.build.frames import ProgramSettings
from agent.build.program.agent_connection import AgentConnection
from agent.build.program.refusals import check_evaluation
from agent.build.program.results import Layer, Layers
from agent.build.program.sources.context_input import ContextInput
from agent.build.program.sources.ignored_files import remove_ignored
from agent.safe_paths.regular_files import read_regular
from shoal.api.v1.builds_pb2 import BuildOutput, BuildStart, BuildWarning
from shoal.distribution.manifests import Platform
from shoal.dockerfile.checks.check_build import check_build
from shoal.dockerfile.checks.check_warnings import CheckReport
from shoal.dockerfile.document import parse_dockerfile
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.evaluate import Evaluation, evaluate
from shoal.dockerfile.evaluation.needs import find_needs
from shoal.dockerfile.evaluation.platforms import parse_platform
from shoal.dockerfile.evaluation.stage_plan import StagePlan, plan_stages
from shoal.dockerfile.evaluation.triggers import settings_of
from shoal.dockerfile.frontends import SYNTAX_ARGUMENT
from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.dockerfile.image_settings import texts_of
from shoal.errors import InvalidInput, NotFound, Refused, ShoalError
from shoal.task_group import TaskGroup

if TYPE_CHECKING:
    from agent.build.program.publication.user_registries import UserRegistries

DEFAULT_FILE = "Dockerfile"
MAX_DOCKERFILE_BYTES = 4 << 20


@dataclass(frozen=True)
class BaseImage:
    """An image that is on this host.

    Attributes:
        reference: with its digest. manifest, config: as they are.
    """

    reference: str
    layers: Layers
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]


@dataclass
class BaseImages:
    """Images of a build, each fetched once.

    Attributes:
        registries: those of the user, where there are credentials for the registry of a reference.
    """

    connection: AgentConnection
    registries: Callable[[str], "UserRegistries | None"]
    _fetches: "dict[str, asyncio.Task[BaseImage]]" = field(default_factory=dict)

    async def get(self, source: ImageSource) -> BaseImage:
        """Raises as the agent does: NotFound, Unavailable and others."""
        if source.reference not in self._fetches:
            self._fetches[source.reference] = asyncio.create_task(self._fetch(source.reference))
        return await asyncio.shield(self._fetches[source.reference])

    async def _ask(self, reference: str) -> Mapping[str, Any]:
        """The cluster's names and the node's credentials come first, then the user's credentials."""
        try:
            return await self.connection.ask("image", reference=reference)
        except ShoalError:
            registries = self.registries(reference)
            if registries is None:
                raise
        return await self.connection.ask("image", reference=await registries.fetch(reference))

    async def _fetch(self, reference: str) -> BaseImage:
        answer = await self._ask(reference)
        config = json.loads(answer["config"])
        diff_ids = config["rootfs"]["diff_ids"]
        paths = zip(diff_ids, answer["directories"], strict=True)
        layers = Layers(tuple(Layer(diff_id, Path(directory)) for diff_id, directory in paths))
        return BaseImage(answer["reference"], layers, json.loads(answer["manifest"]), config)


class WholeContextNeeded(Refused):
    """A base image has triggers, and the caller has sent only what the Dockerfile names."""


@dataclass(frozen=True)
class PlannedBuild:
    """What is to be built. Attributes: file_name: what the user calls the Dockerfile."""

    evaluation: Evaluation
    file_name: str
    report: CheckReport


async def plan_build(
    start: BuildStart, settings: ProgramSettings, inputs: ContextInput, images: BaseImages
) -> PlannedBuild:
    """Read and evaluate the Dockerfile.

    Raises:
        InvalidInput: with every fault of it. NotFound: there is none, or no such target or base image.
        Refused: the platform is not the node's. WholeContextNeeded.
    """
    host = Platform(*settings.platform)
    platform = parse_platform(start.platform, host) if start.platform else host
    if (platform.os, platform.architecture) != (host.os, host.architecture):
        raise Refused(f"this node builds for {host}, not for {platform}; choose a node of that platform")
    file_name = start.dockerfile or DEFAULT_FILE
    content, ignored = await _dockerfile(start, file_name, inputs)
    text = content.decode("utf-8", "surrogateescape")
    document = parse_dockerfile(text, file_name, syntax=start.build_args.get(SYNTAX_ARGUMENT, ""))
    options = BuildOptions(platform, host, start.target, start.build_args, start.labels, start.contexts)
    plan = plan_stages(document, options, file_name, every_stage=start.check_only and not start.target)
    configs = await _configurations(plan, images)
    if start.partial_context and any(texts_of(settings_of(each), "OnBuild") for each in configs.values()):
        raise WholeContextNeeded("a base image has ONBUILD instructions, which may need the whole context")
    evaluation = evaluate(plan, configs)
    check_evaluation(evaluation, start, file_name)
    return PlannedBuild(evaluation, file_name, check_build(evaluation, configs, ignored))


async def _dockerfile(start: BuildStart, file_name: str, inputs: ContextInput) -> tuple[bytes, PatternMatcher | None]:
    """Its text, and what was left out of its context, where that is known."""
    ignored = PatternMatcher(start.ignore_patterns) if start.ignore_patterns else None
    if start.dockerfile_text:
        return start.dockerfile_text, ignored
    directory = (await inputs.tree("")).directory
    text = await asyncio.to_thread(_read, directory, file_name)
    if not inputs.is_listed(""):
        ignored = await asyncio.to_thread(remove_ignored, directory, file_name)
    return text, ignored


def _read(directory: Path, name: str) -> bytes:
    import os

    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return read_regular(root, name, max_bytes=MAX_DOCKERFILE_BYTES)
    except FileNotFoundError as error:
        raise NotFound(f"failed to read dockerfile: open {name[:200]}: no such file or directory") from error
    except OSError as error:
        raise InvalidInput(f"failed to read dockerfile: open {name[:200]}: {error.strerror}") from error
    finally:
        os.close(root)


async def _configurations(plan: StagePlan, images: BaseImages) -> dict[ImageSource, Mapping[str, Any]]:
    """Of all base images: their triggers may need more."""
    found: dict[ImageSource, Mapping[str, Any]] = {}
    while unknown := find_needs(plan, found).unknown(found):
        try:
            async with TaskGroup() as group:
                fetched = {source: group.create_task(images.get(source)) for source in unknown}
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        found |= {source: task.result().config for source, task in fetched.items()}
    return found


async def send_warnings(connection: AgentConnection, planned: PlannedBuild) -> None:
    """What build checks found, and build arguments that nothing uses."""
    lines = planned.evaluation.plan.document.lines
    texts = {line.location.first: line.text for line in lines}
    for each in planned.report.warnings:
        warning = BuildWarning(
            rule=each.rule.name,
            text=each.detail,
            url=each.rule.address,
            line=each.location.first,
            source=texts.get(each.location.first, ""),
            description=each.rule.description,
        )
        await connection.output(BuildOutput(warning=warning))
    if unused := planned.evaluation.unused_arguments:
        names = ", ".join(unused)
        text = f"[Warning] One or more build-args [{names}] were not consumed"
        await connection.output(BuildOutput(warning=BuildWarning(text=text)))
