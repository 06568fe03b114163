"""A build from its call to what is printed and written of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from cli.builds.build_call import BuildFailed, LocalBuild, run_build
from cli.builds.fault_excerpts import with_excerpts
from cli.builds.output_feed import OutputFeed
from cli.builds.result_files import Save, metadata_text
from cli.client import Client
from cli.render.build_progress.display import BuildDisplay, Mode
from cli.render.error_lines import warn
from cli.render.output_terminal import print_error_line, strip_control
from shoal.api.v1.builds_pb2 import BuildResult, BuildWarning
from shoal.dockerfile.source import Location, excerpt
from shoal.errors import InvalidInput, ShoalError


@dataclass(frozen=True)
class BuildFiles:
    """Files that are written at the end: `--iidfile`, `--metadata-file`."""

    iid: Path | None = None
    metadata: Path | None = None

    def write(self, result: BuildResult) -> None:
        """Raises OSError: one cannot be written."""
        if self.iid is not None:
            self.iid.write_text(result.image_id)
        if self.metadata is not None:
            self.metadata.write_text(metadata_text(result))


def execute(
    client: Client, build: LocalBuild, mode: Mode, save: Save | None, files: BuildFiles, *, quiet: bool = False
) -> BuildResult:
    """Build, with progress on standard error.

    Args:
        quiet: print the image's id, and nothing else but errors.
    Raises:
        ShoalError: why there is no result; what the failed step has put out was printed before.
        click.exceptions.Exit: checks have found something.
    """
    display = BuildDisplay(mode)
    try:
        with display:
            feed = run_build(client, build, display, save)
    except BuildFailed as failed:
        _print_failure(failed, build, display)
        raise _pointed(failed, build) from failed
    result = feed.result or BuildResult()
    if build.start.check_only:
        _print_checks(feed, build)
        if feed.warnings or result.check_failed:
            raise click.exceptions.Exit(1)
        return result
    if not quiet:
        warn(*(_warning_line(each, build) for each in feed.warnings))
    files.write(result)
    if quiet and result.image_id:
        click.echo(result.image_id)
    return result


def _pointed(failed: BuildFailed, build: LocalBuild) -> ShoalError:
    """Its error; lines of the Dockerfile that it names are shown, unless that of the failed step was."""
    error, failure = failed.error, failed.feed.failure
    if not isinstance(error, InvalidInput) or not build.source.text or (failure is not None and failure.line):
        return error
    return with_excerpts(error, build.source.text.decode(errors="replace"), build.source.dockerfile)


def _print_failure(failed: BuildFailed, build: LocalBuild, display: BuildDisplay) -> None:
    """As BuildKit: the output of the step, then the lines of the Dockerfile."""
    for line in display.failure():
        print_error_line(line)
    failure = failed.feed.failure
    if failure is not None and failure.line:
        for line in _excerpt(build, failure.line):
            print_error_line(line)


def _excerpt(build: LocalBuild, number: int) -> Iterator[str]:
    """Lines of the Dockerfile, where it is at hand."""
    text = (build.source.text or b"").decode(errors="replace")
    if text and number:
        yield f"{build.source.dockerfile}:{number}"
        yield "-" * 20
        yield from map(strip_control, excerpt(text, Location(number, number)))
        yield "-" * 20


def _warning_line(warning: BuildWarning, build: LocalBuild) -> str:
    place = f"{build.source.dockerfile or 'Dockerfile'}:{warning.line}: " if warning.line else ""
    return f"{place}{f'{warning.rule}: ' if warning.rule else ''}{warning.text}"


def _print_checks(feed: OutputFeed, build: LocalBuild) -> None:
    """What `--check` has found, as BuildKit prints it."""
    number = len(feed.warnings)
    if not number:
        click.echo("Check complete, no warnings found.")
        return
    click.echo(f"Check complete, {number} {'warning has' if number == 1 else 'warnings have'} been found!")
    for warning in feed.warnings:
        click.echo(f"\nWARNING: {warning.rule}{f' - {warning.url}' if warning.url else ''}")
        click.echo(strip_control(warning.text))
        for line in _excerpt(build, warning.line):
            click.echo(line)
