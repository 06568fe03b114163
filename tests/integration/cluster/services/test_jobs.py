"""Jobs as a user has them: so many completions, what fails, once on each node, by a schedule."""

from functools import partial
from typing import Any

from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello:1"


def create(cluster: Cluster, *arguments: str, command: str) -> tuple[int, str]:
    done = cluster.run(
        "service", "create", "--name", "job", "--restart-delay", "0s", *arguments, HELLO, "sh", "-c", command
    )
    return done.returncode, done.stderr


def ended(cluster: Cluster) -> list[str]:
    return sorted(row["name"] for row in cluster.json("service", "ps", "job") if row["state"] == "complete")


def test_completions_and_a_second_run(clean: Cluster) -> None:
    code, output = create(
        clean, "--mode", "replicated-job", "--replicas", "5", "--max-concurrent", "2", command="sleep 0.2"
    )
    assert code == 0, output + clean.logs()
    assert "5/5 completed" in output
    assert ended(clean) == [f"job.{slot}" for slot in range(1, 6)]
    (row,) = clean.json("service", "ls")
    assert (row["mode"], row["replicas"]) == ("replicated-job", "5/5 completed")
    before = {row["id"] for row in clean.json("service", "ps", "job")}
    clean.shoal("service", "update", "--force", "job")
    assert len(ended(clean)) == 5
    assert not before & {row["id"] for row in clean.json("service", "ps", "job")}
    refused = clean.run("service", "scale", "job=7")
    assert refused.returncode == 2
    assert "jobs cannot be scaled" in refused.stderr


def test_a_failure_ends_the_wait_with_its_reason(clean: Cluster) -> None:
    code, output = create(clean, "--mode", "replicated-job", "--restart-max-attempts", "1", command="exit 3")
    assert code == 1, output
    assert "0/1 completed" in output
    assert "failed after 1 restart" in output
    (row,) = clean.json("service", "ls")
    assert row["replicas"] == "0/1 completed (failed)"


def test_a_global_job_runs_on_each_node(clean: Cluster) -> None:
    code, output = create(clean, "--mode", "global-job", command="true")
    assert code == 0, output + clean.logs()
    assert {row["node"] for row in clean.json("service", "ps", "job")} == {"h1", "h2", "h3"}


def test_a_schedule_is_kept_and_a_bad_one_refused(clean: Cluster) -> None:
    code, output = create(clean, "--schedule", "61 * * * *", "--schedule-timezone", "Mars/Olympus", command="true")
    assert code == 2
    assert "--schedule: " in output
    assert "--schedule-timezone: " in output
    assert "is supported for jobs only" in output
    flags = ("--mode", "replicated-job", "--schedule", "0 3 * * *", "--schedule-timezone", "Europe/Berlin")
    code, output = create(clean, *flags, command="true")
    assert code == 0, output
    (document,) = clean.json("service", "inspect", "job")
    assert document["status"]["schedule"]["next_run_at"] > document["created_at"]
    assert clean.json("service", "ps", "job") == []


def test_a_scheduled_job_is_run_now(clean: Cluster) -> None:
    command = "until test -e /tmp/go; do sleep 0.1; done; exit $(cat /tmp/go)"
    flags = ("--mode", "replicated-job", "--schedule", "0 0 1 1 *", "--restart-condition", "none")
    code, output = create(clean, *flags, command=command)
    assert code == 0, output
    for number, ends in ((1, "SUCCEEDED"), (2, "FAILED")):
        assert clean.shoal("service", "run", "--detach", "job") == "job\n"
        task = clean.until(lambda: running(clean), "the run")[0]
        assert "its schedule allows no other at the same time" in clean.refusal("service", "run", "job")
        clean.shoal("exec", task["id"], "sh", "-c", f"echo {number - 1} > /tmp/it; mv /tmp/it /tmp/go")
        clean.until(partial(has_ended, clean, ends), f"run {number}, {ends}")
        assert (newest_run(clean)["number"], newest_run(clean).get("scheduled_at")) == (number, None)
    clean.shoal("service", "update", "--detach", "--args", "true", "job")
    done = clean.run("service", "run", "job")
    assert (done.returncode, done.stdout) == (0, "job\njob: run 3 started\njob: run 3 succeeded\n"), done.stderr


def running(cluster: Cluster) -> list[Any]:
    return [each for each in cluster.json("service", "ps", "job") if each["state"] == "running"]


def has_ended(cluster: Cluster, state: str) -> bool:
    return bool(newest_run(cluster)["state"] == state)


def newest_run(cluster: Cluster) -> dict[str, Any]:
    (document,) = cluster.json("service", "inspect", "job")
    found: dict[str, Any] = document["status"]["runs"][-1]
    return found
