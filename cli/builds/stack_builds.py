"""The images of a stack's services, built one after the other."""

import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from cli.builds.build_report import BuildFiles, execute
from cli.builds.build_source import DEFAULT_NAME, STDIN, BuildSource, choose_source
from cli.builds.platform_builds import build_platforms
from cli.builds.prepared_build import prepare
from cli.builds.secret_values import secret_value
from cli.client import Client
from cli.flags.fault_collector import FaultCollector
from cli.flags.ssh_option import parse_ssh
from cli.render.build_progress.display import Mode
from shoal.compose.conversion.build_keys import ServiceBuild
from shoal.distribution.registries import Registries
from shoal.errors import InvalidInput, NotFound
from shoal.spec_parsers.builds.build_inputs import is_remote


@dataclass(frozen=True)
class StackBuildOptions:
    """What holds for all builds of a stack.

    Attributes:
        no_cache, pull: beside what the files say.
        push: to the registries of the images' names too.
    """

    registries: Registries
    mode: Mode
    no_cache: bool = False
    pull: bool = False
    push: bool = False


def build_services(client: Client, builds: Sequence[ServiceBuild], options: StackBuildOptions) -> None:
    """Build them, those first that others need. All faults of their Dockerfiles are reported before the first begins.

    Raises:
        InvalidInput: faults of Dockerfiles, contexts, secrets. ShoalError: why one has failed.
    """
    faults = FaultCollector()
    prepared = []
    for build in in_order(builds):
        start = build.start
        start.no_cache, start.pull = start.no_cache or options.no_cache, start.pull or options.pull
        if options.push:
            start.push.extend(start.names)
        with faults.flag(f"services.{build.service}.build"):
            try:
                source = source_of(build)
                secrets = {name: secret_value(each, os.environ) for name, each in build.secrets.items()}
                directories = {name: Path(path) for name, path in build.directories.items()}
                agents = dict(parse_ssh(each, os.environ) for each in build.ssh)
            except NotFound as error:
                raise InvalidInput(str(error)) from None
            local = prepare(
                start, source, options.registries, secrets=secrets, directories=directories, ssh_agents=agents
            )
            prepared.append((build.service, build.platforms, local))
    faults.raise_faults()
    for service, platforms, local in prepared:
        if options.mode is not Mode.QUIET:
            click.echo(f"building service {service}", err=True)
        if platforms:
            build_platforms(client, local, platforms, options.mode, BuildFiles(), options.registries, quiet=False)
        else:
            execute(client, local, options.mode, None, BuildFiles())


def source_of(build: ServiceBuild) -> BuildSource:
    """Dockerfile and context of a service.

    Raises:
        InvalidInput: one is missing.
    """
    if is_remote(build.context):
        text = build.inline.encode() or None
        return BuildSource(DEFAULT_NAME if text else build.dockerfile, text, remote=build.context)
    if build.inline:
        source = choose_source(build.context, STDIN, stdin=io.BytesIO(build.inline.encode()))
        return replace(source, dockerfile="dockerfile_inline")
    return choose_source(build.context, str(Path(build.context) / build.dockerfile) if build.dockerfile else "")


def in_order(builds: Sequence[ServiceBuild]) -> list[ServiceBuild]:
    """Each after those whose images it needs, else in the order of the file.

    Raises:
        InvalidInput: they need each other.
    """
    waiting, done, found = list(builds), set[str](), list[ServiceBuild]()
    names = {each.service for each in builds}
    while waiting:
        ready = [each for each in waiting if not (set(each.after) & names) - done]
        if not ready:
            raise InvalidInput(f"builds need each other's images: {', '.join(each.service for each in waiting)}")
        found += ready
        done |= {each.service for each in ready}
        waiting = [each for each in waiting if each.service not in done]
    return found


def selected(builds: Sequence[ServiceBuild], services: Collection[str]) -> list[ServiceBuild]:
    """Those of the services, with those whose images they need; all where none are named.

    Raises:
        NotFound: a service is not built.
    """
    known = {each.service: each for each in builds}
    pending, chosen = list(services), set[str]()
    while pending:
        name = pending.pop()
        if name not in known:
            raise NotFound(f"service {name!r} has no build")
        if name not in chosen:
            chosen.add(name)
            pending += [each for each in known[name].after if each in known]
    return [each for each in builds if each.service in chosen] if services else list(builds)
