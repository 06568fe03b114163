"""`shoal cluster doctor`: what is wrong with the cluster and its hosts, and what to do."""

from collections.abc import Iterable, Iterator

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, pass_client
from cli.render.error_lines import CommandFailed
from cli.render.table import print_listing
from shoal.api.v1.diagnosis_pb2 import DiagnoseClusterRequest, DiagnosedPart, DiagnosisCheck

COLUMNS = ("part", "check", "result", "found", "action")
ANSWER_SECONDS = 20.0
"""Managers take 12 s at most."""


@click.command("doctor", epilog=examples("shoal cluster doctor", "shoal cluster doctor --all --format json"))
@click.option("--all", "-a", "show_all", is_flag=True, help="Show all checks, not only those with a problem.")
@format_option
@pass_client
def doctor(client: Client, *, show_all: bool, form: str) -> None:
    """Check the cluster, its managers and its nodes. Fails if a check fails.

    Managers and nodes check their kernels, disks, clocks, certificates and resolvers, and try to reach each other; all
    of them at once, for 12 seconds at most. In JSON and templates all checks are shown.
    """
    response = client.call(client.control.DiagnoseCluster, DiagnoseClusterRequest(), seconds=ANSWER_SECONDS)
    rows = list(check_rows(response.parts))
    shown = rows if show_all or form != "table" else [row for row in rows if row["result"] != "OK"]
    if shown or form != "table":
        print_listing(shown, COLUMNS, form=form)
    failed = sum(row["result"] == "FAILED" for row in rows)
    if form == "table":
        click.echo(summary(rows))
    if failed:
        raise CommandFailed(f"{failed} of {len(rows)} checks failed")


def check_rows(parts: Iterable[DiagnosedPart]) -> Iterator[dict[str, object]]:
    """A row for each check."""
    for part in parts:
        kind = DiagnosedPart.Kind.Name(part.kind).lower()
        for check in part.checks:
            yield {
                "part": f"{kind} {part.name}".rstrip(),
                "kind": kind,
                "id": part.id,
                "name": part.name,
                "check": check.name,
                "result": DiagnosisCheck.Result.Name(check.result),
                "found": check.found,
                "action": check.action,
            }


def summary(rows: list[dict[str, object]]) -> str:
    """One line: how many checks had which result."""
    counts = {name: sum(row["result"] == name for row in rows) for name in ("OK", "WARNING", "FAILED")}
    return f"{len(rows)} checks: {counts['OK']} OK, {counts['WARNING']} warnings, {counts['FAILED']} failed"
