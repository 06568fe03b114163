"""RUN: the command with its here-documents and mounts. Pure. Dockerfile reference, "RUN", "Here-Documents"."""

from collections.abc import Callable
from dataclasses import replace

from shoal.dockerfile.evaluation.build_sources import BuildSource
from shoal.dockerfile.evaluation.build_steps import SCRIPT_DIRECTORY, InlineFile, SourcedMount
from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.heredocs import parse_heredoc
from shoal.dockerfile.image_settings import absolute_path
from shoal.dockerfile.instructions import Command, Run
from shoal.dockerfile.mount_options import parse_mount
from shoal.dockerfile.run_mounts import BindMount, CacheMount, SecretMount, SshMount
from shoal.errors import InvalidInput

FindSource = Callable[[str], BuildSource]


def run_command(run: Run) -> tuple[Command, tuple[InlineFile, ...]]:
    """What is run, and files that it needs.

    A here-document alone is the command itself, or a program if it begins with `#!`; the shell gets any other as it
    stands. The shell replaces variables in it, so whether its name is quoted matters to the shell alone.
    """
    if not run.heredocs or not run.command.is_shell:
        return run.command, ()
    text = run.command.words[0].strip()
    first = run.heredocs[0]
    if len(run.heredocs) > 1 or parse_heredoc(text) is None:
        parts = (text, *(f"{heredoc.content}{heredoc.name}" for heredoc in run.heredocs))
        return Command(("\n".join(parts),), is_shell=True), ()
    if first.text.startswith("#!"):
        return Command((f"{SCRIPT_DIRECTORY}/{first.name}",), is_shell=True), (InlineFile(first.name, first.text),)
    return Command((first.text,), is_shell=True), ()


def run_mounts(run: Run, directory: str, expander: Expander, find_source: FindSource) -> tuple[SourcedMount, ...]:
    """The mounts of a command, their targets absolute.

    Raises:
        InvalidInput: an option is none once its variables are replaced, `from` is no source, or a target is the root.
    """
    return tuple(_mount(text, directory, expander, find_source) for text in run.mounts)


def _mount(text: str, directory: str, expander: Expander, find_source: FindSource) -> SourcedMount:
    mount = parse_mount(text, expander.word)
    if isinstance(mount, SecretMount | SshMount) and not mount.target:
        return SourcedMount(mount)
    mount = replace(mount, target=absolute_path(directory, mount.target))
    if mount.target == "/":
        raise InvalidInput('invalid mount target "/"')
    if isinstance(mount, BindMount):
        return SourcedMount(mount, find_source(mount.from_stage))
    if isinstance(mount, CacheMount) and mount.from_stage:
        return SourcedMount(mount, find_source(mount.from_stage))
    return SourcedMount(mount)
