"""Labels of a host, as its operator names them."""

import pytest
from click.testing import CliRunner

from agent.host.inspection import describe
from agent.main import main
from agent.options.engine_labels import label_faults, parse_label
from agent.settings import AgentSettings
from manager.planner.spec.constraints import parse
from shoal.api.v1.node_pb2 import Node, NodeDescription, NodeStatus
from shoal.errors import InvalidInput


def test_names_and_values() -> None:
    assert parse_label("rack=r1") == ("rack", "r1")
    assert parse_label("com.example/zone=a b=c") == ("com.example/zone", "a b=c")
    assert parse_label("empty=") == ("empty", "")


@pytest.mark.parametrize("text", ["rack", "=r1", "a b=c", ".a=b", "a=" + "x" * 5000, "a=\n", "x" * 257 + "=a"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_label(text)


def test_all_faults_are_told_and_a_name_is_there_once() -> None:
    assert [fault.message.split()[0] for fault in label_faults(["a=1", "a=2", "b"])] == ["'a'", "'b'"]
    assert len(label_faults([f"l{number}=" for number in range(257)])) == 1
    with pytest.raises(InvalidInput, match="--label"):
        AgentSettings(label=("b",))


def test_managers_are_told_of_them_and_constraints_meet_them() -> None:
    description = describe(
        AgentSettings(label=("rack=r1", "gpu=yes")),
        NodeDescription(vtep_mac="02:56:00:00:00:01"),
        without_apparmor="none here",
    )
    assert dict(description.engine_labels) == {"rack": "r1", "gpu": "yes"}
    status = NodeStatus(description=description)
    assert parse("engine.labels.rack == r1").matches(Node(), status)
    assert not parse("engine.labels.gpu != yes").matches(Node(), status)


def test_the_environment_names_several() -> None:
    environment = {"SHOAL_AGENT_LABEL": "rack=r1 oddity"}
    result = CliRunner().invoke(main, ["run", "--join", "nowhere"], env=environment)
    assert result.exit_code == 1
    assert "'oddity' must be in the form NAME=VALUE" in result.output
