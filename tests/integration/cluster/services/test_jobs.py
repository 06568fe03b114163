"""Jobs as a user has them: so many completions, what fails, once on each node, by a schedule."""

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
