"""Settings and command line of the agent."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.host.inspection import memory_bytes
from agent.main import main
from agent.settings import AgentSettings
from shoal.errors import InvalidInput


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        AgentSettings(
            state_directory=Path("here"),
            run_directory=Path("/" + "x" * 80),
            join="nowhere",
            stream_port=0,
            parallel_starts=0,
            runtime_optimizations="some",
            advertise_address="fe80::1",
            local_pool="224.0.0.0/8",
            vxlan_port=0,
            closed_ports="7441,http",
            token="a",
            token_file=Path("/b"),
        )
    assert len(caught.value.faults) == 11


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        ("172.20.0.1/16", "has host bits set"),
        ("nonsense", "is not a valid IPv4 subnet"),
        ("172.20.0.0/29", "must have a prefix length from 8 to 28"),
        ("127.1.0.0/16", "contains reserved addresses"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(pool: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        AgentSettings(local_pool=pool)
    AgentSettings(local_pool="172.20.0.0/28")


def test_a_token_is_not_printed() -> None:
    assert "SECRET" not in repr(AgentSettings(token="SECRET"))


def test_options_without_a_command_are_those_of_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--join", "nowhere", "--state-directory", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.startswith("shoal-agent: --join: 'nowhere' is not a valid address")


def test_a_host_that_never_joined_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "--state-directory", str(tmp_path)])
    assert result.exit_code == 1
    assert "start the agent with --join HOST:PORT and --token" in result.output


def test_memory() -> None:
    assert memory_bytes("MemFree: 1 kB\nMemTotal:       2048 kB\n") == 2 << 20
