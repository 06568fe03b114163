"""Commands that wait go on watching after "running": what ends in that time is reported, and counts."""

import os
import subprocess
from pathlib import Path

from tests.integration.cluster.harness import SHOAL, Cluster

HELLO = "registry:5000/hello:1"
CRASHES = "until test -e /crash; do sleep 0.1; done; exit 3"
"""Once it is told to."""


def crash_when_verified(cluster: Cluster, service: str, *arguments: str) -> tuple[int, str]:
    """Run `shoal …`, and end the service's tasks when it says that it verifies them; its exit code and what it said."""
    environment = {**os.environ, "SHOAL_CONFIG": str(cluster.config)}
    said = ""
    with subprocess.Popen(
        [SHOAL, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if ", verifying" in line and ", verifying" not in said:
                for pid in cluster.pids(service).values():
                    Path(f"/proc/{pid}/root/crash").touch()
            said += line
    return process.returncode, said


def test_a_service_that_crashes_ends_with_1(clean: Cluster) -> None:
    done = clean.run("service", "create", "--name", "x", "--verify", "5", HELLO, "false")
    assert done.returncode == 1, done.stderr
    assert "task x.1." in done.stderr and "exit code 1" in done.stderr
    create = ("service", "create", "--name", "y", "--verify", "60", HELLO, "sh", "-c", CRASHES)
    code, said = crash_when_verified(clean, "y", *create)
    assert code == 1, said
    assert "y: 1/1 running, verifying" in said, "said at once"
    assert "exit code 3" in said


def test_what_is_not_started_again_ends_the_wait_with_1(clean: Cluster) -> None:
    """Also what never started, and without a time of verification; the wait would last 10 minutes."""
    patient = ("--verify", "0", "--timeout", "600")
    once = ("--restart-condition", "none", *patient)
    done = clean.run("service", "create", "--name", "x", *once, HELLO, "/no/such/program")
    assert done.returncode == 1, done.stderr
    assert "not restarting" in done.stderr
    clean.shoal("service", "create", "--detach", "--name", "y", "--restart-condition", "none", HELLO, "false")
    clean.until(lambda: [row for row in clean.json("service", "ps", "y") if row["state"] == "failed"], "it has failed")
    done = clean.run("service", "update", "--label-add", "tier=front", *patient, "y")
    assert done.returncode == 1 and "not restarting" in done.stderr, done.stderr
    done = clean.run("service", "create", "--name", "z", *once, HELLO, "true")
    assert done.returncode == 0, done.stderr


def test_an_update_and_a_rollback_to_what_crashes_end_with_1(clean: Cluster) -> None:
    """Their monitor has ended by then, so that the update itself went well."""
    quick = ("--update-monitor", "100ms", "--update-failure-action", "continue")
    clean.shoal("service", "create", "--name", "x", *quick, HELLO, "sleep", "1000")
    update = ("service", "update", "--args", f"sh -c '{CRASHES}'", "--verify", "60", "x")
    code, said = crash_when_verified(clean, "x", *update)
    assert code == 1 and "exit code 3" in said, said
    clean.shoal("service", "update", "--args", "sleep 1000", "x")
    code, said = crash_when_verified(clean, "x", "service", "rollback", "--verify", "60", "x")
    assert code == 1 and "exit code 3" in said, said


def test_scaling_what_runs_ends_when_it_runs(clean: Cluster) -> None:
    """The test would not end if it were watched for an hour."""
    clean.shoal("service", "create", "--name", "x", "--verify", "1", HELLO, "sleep", "1000")
    clean.until(
        lambda: clean.run("service", "scale", "x=1", "--verify", "2", "--timeout", "1").returncode == 0,
        "the template has run for 2 s",
    )
    done = clean.run("service", "scale", "--verify", "2", "--timeout", "60", "x=3")
    assert done.returncode == 0 and "verifying" not in done.stderr, done.stderr


def test_a_stack_whose_service_crashes_ends_with_1(clean: Cluster, tmp_path: Path) -> None:
    compose = tmp_path / "compose.yaml"
    compose.write_text(
        f"services:\n  good:\n    image: {HELLO}\n    command: sleep 1000\n"
        f"  bad:\n    image: {HELLO}\n    command: sh -c 'sleep 1; exit 3'\n"
    )
    done = clean.run("stack", "deploy", "-c", str(compose), "--verify", "10", "shop")
    assert done.returncode == 1, done.stderr
    assert "task shop_bad.1." in done.stderr and "exit code 3" in done.stderr
    assert "shop_good: 1/1 running, converged" in done.stderr


def test_a_passing_health_check_ends_the_time(clean: Cluster) -> None:
    check = ("--health-cmd", "true", "--health-interval", "100ms")
    done = clean.run("service", "create", "--name", "x", "--verify", "3600", "--timeout", "60", *check, HELLO)
    assert done.returncode == 0, done.stderr
