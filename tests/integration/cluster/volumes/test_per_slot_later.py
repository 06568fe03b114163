"""`per-slot` for a volume that holds data, and the way back: no task ever starts empty."""

from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.volumes.test_volumes import HELLO, read, slots, volumes, write

__all__ = ["volumes"]

SLOT = "{{.Task.Slot}}"


def test_the_data_of_the_one_task_becomes_that_of_its_slot_and_comes_back(volumes: Cluster) -> None:
    volumes.shoal("service", "create", "--name", "db", "--mount", "source=data,target=/data", f"{HELLO}:1")
    ((node, pid),) = slots(volumes, "db").values()
    write(pid, "/data/row", "precious")
    with_slots = ("--mount-rm", "/data", "--mount-add", f"source=data-{SLOT},target=/data")
    volumes.shoal("service", "update", "--replicas", "3", *with_slots, "db")
    split = slots(volumes, "db")
    assert (split["db.1"][0], read(split["db.1"][1], "/data/row")) == (node, "precious")
    for name in ("db.2", "db.3"):
        assert read(split[name][1], "/data/row") == ""
        write(split[name][1], "/data/row", name)
    volumes.shoal("service", "update", "--force", "db")
    assert {name: read(pid, "/data/row") for name, (_, pid) in slots(volumes, "db").items()} == {
        "db.1": "precious",
        "db.2": "db.2",
        "db.3": "db.3",
    }
    to = next(host.name for host in volumes.layout.all_hosts() if host.name != node)
    refused = volumes.run("volume", "move", "data", "--slot", "1", "--to", to)
    assert refused.returncode == 1 and "omit `--slot`" in refused.stderr
    volumes.shoal("volume", "move", "data", "--to", to)
    volumes.until(lambda: "db.1" in slots(volumes, "db"), "the task to start on the other node")
    now, pid = slots(volumes, "db")["db.1"]
    assert (now, read(pid, "/data/row")) == (to, "precious")
    whole = ("--mount-rm", "/data", "--mount-add", "source=data,target=/data")
    volumes.shoal("service", "update", "--replicas", "1", *whole, "db")
    ((back, pid),) = slots(volumes, "db").values()
    assert (back, read(pid, "/data/row")) == (to, "precious")


def test_what_is_refused_says_how_to_copy_the_data(volumes: Cluster) -> None:
    volumes.shoal(
        *("service", "create", "--name", "db", "--replicas", "2"),
        *("--mount", f"source=data-{SLOT},target=/data", f"{HELLO}:1"),
    )
    split = slots(volumes, "db")
    for name, (_, pid) in split.items():
        write(pid, "/data/row", name)
    create = ("service", "create", "--name", "plain", "--mount", "source=data,target=/data", f"{HELLO}:1")
    refused = volumes.run(*create)
    assert refused.returncode == 2 and "copy the data of slot 1 to it" in refused.stderr
    volumes.shoal(
        *("service", "create", "--name", "copy", "--restart-condition", "none"),
        *("--mount", f"source=data-{SLOT},target=/from,readonly", "--mount", "source=new,target=/to"),
        *(f"{HELLO}:1", "cp", "-a", "/from/.", "/to"),
    )
    volumes.until(
        lambda: [row for row in volumes.json("service", "ps", "copy") if row["state"] == "complete"], "the copy"
    )
    volumes.shoal("service", "create", "--name", "plain", "--mount", "source=new,target=/data", f"{HELLO}:1")
    ((node, pid),) = slots(volumes, "plain").values()
    assert (node, read(pid, "/data/row")) == (split["db.1"][0], "db.1")
