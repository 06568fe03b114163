"""What a Dockerfile needs, as far as it says so itself: base images may have triggers that need more. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from shoal.dockerfile.document import parse_dockerfile
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.context_paths import context_paths
from shoal.dockerfile.evaluation.needs import BuildNeeds, find_needs
from shoal.dockerfile.evaluation.stage_plan import StagePlan, plan_stages
from shoal.dockerfile.evaluation.triggers import ImageConfig, triggers_of
from shoal.dockerfile.frontends import SYNTAX_ARGUMENT
from shoal.dockerfile.instructions import Instruction, Run
from shoal.dockerfile.mount_options import parse_mount
from shoal.dockerfile.run_mounts import RunMount, SecretMount, SshMount
from shoal.dockerfile.source import FaultList


@dataclass(frozen=True, slots=True)
class FileNeeds:
    """What the target of a file is made of.

    Attributes:
        images: references that it begins with or copies from.
        contexts: by name; the main one is empty.
        secrets, ssh: ids of secrets and SSH agents that its commands have, but those that a variable names.
        paths: what it names of the main context; None: it may need all of it.
    """

    images: tuple[str, ...]
    contexts: tuple[str, ...]
    secrets: tuple[str, ...]
    ssh: tuple[str, ...]
    paths: tuple[str, ...] | None = None


def needs_of_file(text: bytes, name: str, options: BuildOptions) -> FileNeeds:
    """What a Dockerfile needs.

    Args:
        name: of the file, for its faults.
    Raises:
        InvalidInput: every fault of the file. NotFound: there is no such target.
    """
    document = parse_dockerfile(text.decode(errors="replace"), name, syntax=options.arguments.get(SYNTAX_ARGUMENT, ""))
    plan = plan_stages(document, options, name)
    images: dict[ImageSource, ImageConfig] = {}
    while unknown := (needs := find_needs(plan, images)).unknown(images):
        images |= {each: {} for each in unknown}
    references = (each.reference for each in (*needs.base_images, *needs.copied_images))
    mounts = list(_mounts(plan, needs))
    secrets = dict.fromkeys(each.secret_id for each in mounts if isinstance(each, SecretMount))
    ssh = dict.fromkeys(each.ssh_id for each in mounts if isinstance(each, SshMount))
    paths = context_paths(_instructions(plan, needs))
    return FileNeeds(tuple(references), needs.contexts, tuple(secrets), tuple(ssh), paths)


def _instructions(plan: StagePlan, needs: BuildNeeds) -> Iterator[Instruction]:
    """Those of the target, and the triggers that its stages leave to each other."""
    for index in needs.stages:
        yield from triggers_of(plan, index, {}, FaultList(plan.file_name))
        yield from plan.stages[index].stage.instructions


def _mounts(plan: StagePlan, needs: BuildNeeds) -> Iterator[RunMount]:
    for instruction in _instructions(plan, needs):
        if isinstance(instruction, Run):
            yield from (parse_mount(each, str) for each in instruction.mounts if "$" not in each)
