"""`shoal run`."""

import signal
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.container.attach_options import attached_streams, detach_keys_option, sig_proxy_option
from cli.commands.container.container_calls import containers
from cli.commands.container.container_creation import (
    container_id,
    create_container,
    creation_options,
    faults_by_flag,
    remove_container,
    report_created,
    request_of,
)
from cli.commands.container.run_errors import RunCommand, exit_as_docker
from cli.exec.detached_run import DetachedRun
from cli.exec.signal_forwarding import held_signals
from shoal.api.v1.engine_pb2 import ContainerView, CreateContainerRequest
from shoal.detach_keys import parse_keys
from shoal.errors import Fault, InvalidInput


@click.command(
    "run",
    cls=RunCommand,
    epilog=examples(
        "shoal run --rm registry:5000/busybox:1 echo hello",
        "shoal run -it --name work --node h2 registry:5000/debian:12 bash",
        "echo data | shoal run -i --rm registry:5000/alpine:3 sha256sum",
        "shoal run -d --name db -v data:/var/lib/db -p 5432:5432 --restart unless-stopped registry:5000/postgres:16",
    ),
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
)
@creation_options
@click.option("-d", "--detach", is_flag=True, help="Run the container in the background and print its ID.")
@detach_keys_option
@sig_proxy_option
@click.pass_context
@pass_client
def run(client: Client, ctx: click.Context, **given: Any) -> None:
    """Create a container of IMAGE and run it, connected to this terminal.

    The image comes from the cluster; one that is not there is pulled into it. Exits with the exit code of the program;
    125 if the container was not run, 126 if its program cannot be executed, 127 if it is not found. Without `--tty`,
    signals are forwarded to the program; with `--rm`, a second Ctrl-C kills it.
    """
    with exit_as_docker():
        streams, keys, faults = _attachment(given)
        request = request_of(client, ctx, given, faults=faults)
        task = request.definition.task.container
        task.stdin_once = task.stdin_open and "stdin" in streams
        with held_signals() as held:
            if streams:
                code = _run_attached(client, request, streams, keys, given, held)
            else:
                code = _run_detached(client, request, given["cidfile"], held)
    sys.exit(code)


def _attachment(given: Mapping[str, Any]) -> tuple[Collection[str], bytes, list[Fault]]:
    """The streams to attach, the keys to detach, and what is wrong with these flags."""
    interactive = bool(given["interactive"])
    streams, faults = attached_streams(given["attach"], interactive=interactive, detach=given["detach"])
    keys = b""
    try:
        keys = parse_keys(given["detach_keys"]) if given["detach_keys"] else b""
    except InvalidInput as error:
        faults += error.faults
    if given["tty"] and "stdin" in streams and interactive and not (sys.stdin is not None and sys.stdin.isatty()):
        faults.append(Fault("", "--tty: the input device is not a terminal; omit --tty to pipe input to the program"))
    return streams, keys, faults


def _run_detached(
    client: Client, request: CreateContainerRequest, cidfile: Path | None, held: list[signal.Signals]
) -> int:
    with faults_by_flag():
        run = DetachedRun(client, containers(client), request)
    report_created(run.view, cidfile)
    if held:
        return _undo(client, run.view, held)
    _print_id(run.view)
    run.wait_until_started()
    return 0


def _run_attached(
    client: Client,
    request: CreateContainerRequest,
    streams: Collection[str],
    keys: bytes,
    given: Mapping[str, Any],
    held: list[signal.Signals],
) -> int:
    from cli.exec.container_run import Interrupted, RunOptions, run_attached

    view, definition = create_container(client, request, given["cidfile"]), request.definition
    options = RunOptions(
        container=view.container.meta.id,
        shows=streams,
        forwards_stdin="stdin" in streams and definition.task.container.stdin_open,
        forwards_signals=given["sig_proxy"],
        detach_keys=keys,
        has_terminal=definition.task.container.tty,
        is_removed=definition.auto_remove,
        held=held,
    )
    if held:
        return _undo(client, view, held)
    if not {"stdout", "stderr"} & set(streams):
        _print_id(view)
    try:
        return run_attached(client, containers(client), options)
    except Interrupted:
        return _undo(client, view, held)


def _undo(client: Client, view: ContainerView, held: list[signal.Signals]) -> int:
    """Remove it, since a signal came; the exit code for that."""
    remove_container(client, view.container.meta.id)
    return 128 + held[0]


def _print_id(view: ContainerView) -> None:
    click.echo(container_id(view))
    sys.stdout.flush()
