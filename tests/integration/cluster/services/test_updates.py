"""Updates as a user has them: what fails comes back, canaries wait, the history shows it."""

from tests.integration.cluster.harness import Cluster

HELLO = "registry:5000/hello"
MONITOR = ("--update-monitor", "300ms")


def start(cluster: Cluster, *flags: str, replicas: int = 3) -> None:
    cluster.shoal("service", "create", "--name", "web", "--replicas", str(replicas), *MONITOR, *flags, f"{HELLO}:1")


def images(cluster: Cluster) -> list[str]:
    return sorted(task["image"].rpartition(":")[2] for task in cluster.tasks("web") if task["state"] == "running")


def image_of_each_task(cluster: Cluster) -> dict[str, str]:
    return {task["name"]: task["image"] for task in cluster.tasks("web") if task["state"] == "running"}


def runs_on(cluster: Cluster, node: str) -> bool:
    return any(task["node"] == node and task["state"] == "running" for task in cluster.tasks("web"))


def test_a_failed_update_comes_back_and_says_why(clean: Cluster) -> None:
    start(clean)
    before = {task["id"] for task in clean.tasks("web")}
    broken = clean.run("service", "update", "--args", "sh -c 'exit 7'", "--image", f"{HELLO}:2", "web")
    assert broken.returncode == 1, broken.stderr + clean.logs()
    assert "the update was rolled back: 1 of 3 tasks failed" in broken.stderr
    assert images(clean) == ["1", "1", "1"]
    assert len(before & {task["id"] for task in clean.tasks("web")}) == 2  # only one was ever tried
    (document,) = clean.json("service", "inspect", "web")
    assert document["status"]["update"]["state"] == "ROLLED_BACK"
    assert document["status"]["update"]["effective_revision"] == 1
    newest, first = clean.json("service", "history", "web")
    assert (newest["state"], newest["running"]) == ("rolled back", 0)
    assert (first["state"], first["running"]) == ("active (after rollback)", 3)
    assert "-registry:5000/hello:1" in clean.shoal("service", "diff", "web").replace("-    image: ", "-")

    assert document["spec"]["task"]["container"]["image"].startswith(f"{HELLO}:1")
    assert (document["rolled_back"]["from_revision"], document["rolled_back"]["to_revision"]) == (2, 1)
    (row,) = clean.json("service", "ls")
    assert (row["image"], row["replicas"]) == (f"{HELLO}:1", "3/3 (rolled back from revision 2)")

    # What is in force is what the next change starts from: scaling keeps what runs, and so does another variable.
    kept = {task["id"] for task in clean.tasks("web")}
    clean.shoal("service", "scale", "web=4")
    assert images(clean) == ["1"] * 4 and kept < {task["id"] for task in clean.tasks("web")}
    newest = clean.json("service", "history", "web")[0]
    assert (newest["state"], newest["running"]) == ("active", 4)
    clean.shoal("service", "update", "--env-add", "LEVEL=debug", "web")
    assert images(clean) == ["1"] * 4
    clean.shoal("service", "update", "--image", f"{HELLO}:2", "--args", "", "web")
    assert images(clean) == ["2"] * 4


def test_what_is_no_canary_keeps_its_image_when_scaled_and_drained(clean: Cluster) -> None:
    start(clean, "--update-canary", "1", "--update-order", "start-first")
    clean.shoal("service", "update", "--image", f"{HELLO}:2", "--replicas", "5", "web")
    assert images(clean) == ["1", "1", "1", "1", "2"]
    before = image_of_each_task(clean)
    node = next(task["node"] for task in clean.tasks("web") if task["image"].endswith(":1"))
    clean.shoal("node", "update", "--availability", "drain", node)
    clean.until(lambda: len(images(clean)) == 5 and not runs_on(clean, node), f"{node} is drained")
    assert image_of_each_task(clean) == before
    clean.shoal("service", "scale", "web=7")
    assert images(clean) == ["1"] * 6 + ["2"]
    clean.shoal("node", "update", "--availability", "active", node)
    clean.shoal("service", "promote", "web")
    assert images(clean) == ["2"] * 7


def test_canaries_wait_for_promotion(clean: Cluster) -> None:
    start(clean, "--update-canary", "1", "--update-parallelism", "0")
    waiting = clean.run("service", "update", "--image", f"{HELLO}:2", "web")
    assert waiting.returncode == 0, waiting.stderr + clean.logs()
    assert "shoal service promote web" in waiting.stderr
    assert images(clean) == ["1", "1", "2"]
    clean.shoal("service", "promote", "web")
    assert images(clean) == ["2", "2", "2"]
    again = clean.run("service", "promote", "web")
    assert again.returncode == 1
    assert "cannot be promoted: it has completed" in again.stderr


def test_pause_and_resume(clean: Cluster) -> None:
    start(clean, "--update-failure-action", "pause", "--restart-condition", "none")
    paused = clean.run("service", "update", "--args", "false", "web")
    assert paused.returncode == 1
    assert "the update was paused: 1 of 3 tasks failed" in paused.stderr
    assert clean.run("service", "pause", "web").returncode == 1  # it is
    clean.shoal("service", "rollback", "web")
    assert images(clean) == ["1", "1", "1"]

    clean.shoal("service", "update", "--detach", "--update-delay", "1h", "--image", f"{HELLO}:2", "web")
    clean.until(lambda: "2" in images(clean), "the first task of the update")
    clean.shoal("service", "pause", "web")
    clean.until(lambda: _state(clean) == "PAUSED", "the pause")
    clean.shoal("service", "update", "--detach", "--update-delay", "0s", "web")
    assert _state(clean) == "PAUSED"
    clean.shoal("service", "resume", "web")
    assert images(clean) == ["2", "2", "2"]


def _state(cluster: Cluster) -> str:
    (document,) = cluster.json("service", "inspect", "web")
    return str(document["status"]["update"]["state"])
