"""Texts as Docker's documentation would put them: what is wrong, and what to do."""

from pathlib import Path

import click
import pytest

from cli.commands.node import remove
from cli.commands.service.create import create
from cli.flags.fault_flags import faults_by_flag
from manager.validation.containers.container_tuning_rules import check_tuning
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.compose.fault_locations import locate_faults
from shoal.compose.faults import FaultLog
from shoal.compose.load import load_files
from shoal.compose.stack_names import StackNames
from shoal.distribution.untrusted_json import parse_object
from shoal.errors import Fault, InvalidInput


def faults(tmp_path: Path, text: str) -> str:
    file = tmp_path / "web.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_files("shop", [file], {}).checked()
    return "\n".join(map(str, caught.value.faults))


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("services: {a: {image: x, ulimits: {nofile: {soft: 1}}}}", "`hard` is missing"),
        (
            "services: {a: {image: x, deploy: {restart_policy: {max_attempts: 5000000000}}}}",
            "too large; the maximum is 4,294,967,295",
        ),
        ("services: {a: {image: x, deploy: {restart_policy: {max_attempts: -1}}}}", "must not be negative"),
        ("services: {a: {image: x, oom_score_adj: 1001}}", "too large; the maximum is 1,000"),
        ("services: {a: {image: x, oom_score_adj: -1001}}", "too small; the minimum is -1,000"),
        ("services: {a: {image: x, extends: {service: a}}}", "extends cycle: "),
        (f"x-deep: {'[' * 4000}{']' * 4000}", "web.yaml: nested too deeply"),
    ],
)
def test_compose_files(text: str, reported: str, tmp_path: Path) -> None:
    whole = faults(tmp_path, text)
    assert reported in whole
    assert "out of range" not in whole and "recursion" not in whole and "property" not in whole


def test_documents_of_registries_and_users_that_nest_too_deeply() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(InvalidInput, match=r"^the manifest is nested too deeply$"):
        parse_object(deep.encode(), "the manifest")
    spec = ContainerSpec(seccomp=f'{{"defaultAction": {deep}}}')
    assert [fault.message for fault in check_tuning("task.container", spec)] == ["is nested too deeply"]


def test_what_is_unlimited_is_called_so() -> None:
    help_text = create.get_help(click.Context(create))
    assert "no bound" not in help_text
    assert " ".join(help_text.split()).count("0 = unlimited") >= 3
    assert (remove.help or "").startswith("Remove one or more nodes from the cluster")


def test_an_autoscaler_names_the_flags_that_it_needs() -> None:
    fault = Fault("autoscale.cpu_percent", "needs task.reservations.nano_cpus or task.limits.nano_cpus")
    assert [str(each) for each in faults_by_flag([fault])] == ["--autoscale: needs `--reserve-cpu` or `--limit-cpu`"]
    in_stack = Fault(f"services.shop_web.{fault.path}", fault.message)
    tree = {"services": {"web": {"image": "x", "deploy": {"x-autoscale": {"cpu": 50}}}}}
    (reported,) = locate_faults(tree, [in_stack], FaultLog(), StackNames("shop"))
    assert "task." not in reported.message or reported == in_stack
