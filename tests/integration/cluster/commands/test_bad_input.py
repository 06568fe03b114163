"""Bad input gets a line that says what is wrong, an exit code, and nothing half-made."""

import pytest

from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello"
CREATE = ("service", "create", "--name", "web")


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("service", "create", "--name", "Bad_Name!", f"{HELLO}:1"), "name", 2),
        ((*CREATE, "registry:5000/UPPER:1"), "image", 2),
        ((*CREATE, "--limit-memory", "much", f"{HELLO}:1"), "not a valid size", 2),
        ((*CREATE, "--publish", "99999", f"{HELLO}:1"), "not a valid port", 2),
        ((*CREATE, "--constraint", "node.moon == full", f"{HELLO}:1"), "node.moon", 2),
        ((*CREATE, "--network", "missing", f"{HELLO}:1"), "missing", 2),
        ((*CREATE, f"{HELLO}:no-such-tag"), "no-such-tag", 2),
        (("service", "scale", "web=x"), "must be an integer", 2),
        (("service", "scale", "nothing=3"), "nothing", 1),
        (("service", "ps", "nothing"), "nothing", 1),
        (("service", "frobnicate"), "No such command", 2),
        (("network", "create", "--subnet", "300.1.2.0/24", "front"), "300.1.2.0/24", 2),
        (("node", "update", "--availability", "asleep", "h1"), "asleep", 2),
    ],
)
def test_one_line_and_an_exit_code(clean: Cluster, arguments: tuple[str, ...], message: str, code: int) -> None:
    done = clean.run(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert clean.json("service", "ls") == []


def test_all_faults_of_a_spec_at_once(clean: Cluster) -> None:
    done = clean.run(
        *CREATE, "--constraint", "node.moon == full", "--network", "missing", "--hostname", "bad host", f"{HELLO}:1"
    )
    assert done.returncode == 2
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 3, done.stderr


def test_a_name_is_unique(clean: Cluster) -> None:
    clean.shoal(*CREATE, f"{HELLO}:1")
    done = clean.run(*CREATE, f"{HELLO}:1")
    assert done.returncode == 1
    assert "web" in done.stderr


def test_a_compose_key_that_is_not_supported_is_named(clean: Cluster) -> None:
    text = "services: {web: {image: 'x', credential_spec: {file: x}}}"
    done = clean.run("stack", "deploy", "-c", "-", "shop", text=text)
    assert done.returncode == 2
    assert "services.web.credential_spec" in done.stderr


def test_another_manager_and_no_manager(clean: Cluster) -> None:
    done = clean.run("--context", "nothing", "node", "ls")
    assert done.returncode == 1
    assert "nothing" in done.stderr
