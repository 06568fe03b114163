"""The docker command line against the server: its output is compared, over a Unix socket and over TLS.

Exit codes alone prove nothing: they come by calls of their own, and are right while every byte of output is lost.
"""

import os
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.contract.engine.rig.docker_cli import docker, environment_of, wait_until
from tests.contract.engine.rig.served import Served, constant, served
from tests.contract.engine.rig.stand_in import StandIn


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def engine(stand_in: StandIn, tmp_path: Path) -> Iterator[Served]:
    with served(constant(stand_in.routes()), tmp_path) as where:
        yield where


@pytest.fixture(params=["unix", "tls"])
def environment(request: pytest.FixtureRequest, engine: Served, tmp_path: Path) -> dict[str, str]:
    return environment_of(engine, tmp_path, tls=request.param == "tls")


def test_run_shows_both_outputs_and_the_exit_code(environment: dict[str, str]) -> None:
    result = docker(environment, "run", "image", "both", "7")
    assert (result.stdout, result.stderr, result.returncode) == (b"to stdout\n", b"to stderr\n", 7)


def test_run_with_input_gets_it_back_whole(environment: dict[str, str]) -> None:
    data = os.urandom(5_000_000)
    result = docker(environment, "run", "-i", "image", "cat", given=data)
    assert sha256(result.stdout).hexdigest() == sha256(data).hexdigest()
    assert result.returncode == 0


def test_output_after_the_end_of_input_is_whole(environment: dict[str, str]) -> None:
    result = docker(environment, "run", "-i", "image", "seq", "200000")
    assert result.stdout == "".join(f"{number}\n" for number in range(1, 200_001)).encode()


@pytest.mark.parametrize("flags", [(), ("-i",)])
def test_exec_shows_its_output_with_and_without_input(
    environment: dict[str, str], stand_in: StandIn, flags: tuple[str, ...]
) -> None:
    docker(environment, "create", "image", "cat")
    (container,) = stand_in.containers
    result = docker(environment, "exec", *flags, container, "both", "3")
    assert (result.stdout, result.stderr, result.returncode) == (b"to stdout\n", b"to stderr\n", 3)


def test_exec_copies_input(environment: dict[str, str], stand_in: StandIn) -> None:
    docker(environment, "create", "image", "cat")
    (container,) = stand_in.containers
    data = os.urandom(1_000_000)
    assert docker(environment, "exec", "-i", container, "cat", given=data).stdout == data


def test_a_client_that_is_killed_leaves_no_attached_program(engine: Served, stand_in: StandIn, tmp_path: Path) -> None:
    """It had ended its input before, so the socket says nothing by itself. Over TCP keepalive finds it."""
    environment = environment_of(engine, tmp_path, tls=False)
    with subprocess.Popen(
        ["docker", "run", "image", "forever"], env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: stand_in.attached == 1)
        process.kill()
    wait_until(lambda: stand_in.attached == 0)


def test_an_unknown_container_is_an_error_with_dockers_words(environment: dict[str, str]) -> None:
    result = docker(environment, "start", "nosuch")
    assert b"No such container: nosuch" in result.stderr
