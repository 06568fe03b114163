"""Volumes of containers of one's own: named ones have one home, anonymous ones go with their container."""

import pytest

from tests.integration.cluster.containers.containers import IMAGE, load_image, names, node_of, run, script
from tests.integration.cluster.harness import Cluster, data_directories


@pytest.fixture
def box(clean: Cluster) -> Cluster:
    """The cluster, with the image."""
    load_image(clean)
    return clean


def output(cluster: Cluster, *options: str, program: tuple[str, ...]) -> str:
    """Of a program that runs to its end; its container is removed."""
    return cluster.shoal("run", "--rm", *options, IMAGE, *program)


def volumes(cluster: Cluster) -> list[str]:
    return [row["name"] for row in cluster.json("volume", "ls") if row["state"] != "removing"]


def test_a_named_volume_has_one_home_and_outlives_its_containers(box: Cluster) -> None:
    options = ("--volume", "data:/data")
    assert output(box, "--node", "h2", *options, program=script("echo kept > /data/f", "cat /data/f")) == "kept\n"
    run(box, "--name", "later", *options)
    assert node_of(box, "later") == "h2"
    assert box.shoal("exec", "later", "cat", "/data/f") == "kept\n"
    assert output(box, "--mount", "source=data,target=/x,readonly", program=script("cat /x/f")) == "kept\n"
    failed = box.run("run", "--rm", "--volume", "data:/data:ro", IMAGE, "touch", "/data/g")
    assert failed.returncode and "Read-only file system" in failed.stderr
    assert 'volume "data" is in use by container later' in box.refusal("volume", "rm", "data")
    box.quick("rm", "--force", "--volumes", "later")
    assert volumes(box) == ["data"], "a volume with a name stays"


def test_a_part_of_a_volume(box: Cluster) -> None:
    make = script("mkdir -p /data/a/b", "echo deep > /data/a/b/f")
    output(box, "--volume", "data:/data", program=make)
    part = "type=volume,source=data,target=/part,volume-subpath=a/b"
    assert output(box, "--mount", part, program=script("ls /part", "cat /part/f")) == "f\ndeep\n"
    outside = "type=volume,source=data,target=/part,volume-subpath=../x"
    assert 'must not contain ".."' in box.run("run", "--rm", "--mount", outside, IMAGE, "true").stderr


def test_an_anonymous_volume_goes_with_its_container(box: Cluster) -> None:
    assert output(box, "--volume", "/data", program=script("echo x > /data/f", "cat /data/f")) == "x\n"
    box.until(lambda: not volumes(box) and not data_directories(box), "the volume to go with --rm")
    for number in range(2):
        run(box, "--name", f"box{number}", "--volume", "/data")
    (first, second) = volumes(box)
    assert len(first) == len(second) == 64
    box.quick("rm", "--force", "--volumes", "box0")
    box.quick("rm", "--force", "box1")
    box.until(lambda: len(volumes(box)) == 1, "the other one stays until it is pruned")
    assert len(box.shoal("volume", "prune", "--force").split()) >= 1
    box.until(lambda: not data_directories(box), "it to be deleted")


def test_the_volumes_of_another_container(box: Cluster) -> None:
    run(box, "--name", "owner", "--node", "h3", "--volume", "data:/data", "--volume", "/own", "--tmpfs", "/scratch")
    box.shoal("exec", "owner", "sh", "-c", "echo a > /data/f; echo b > /own/f; echo c > /scratch/f")
    program = script("cat /data/f /own/f", "ls /scratch 2>/dev/null", "touch /data/g && echo writable")
    assert output(box, "--volumes-from", "owner", program=program) == "a\nb\nwritable\n"
    read_only = box.run("run", "--rm", "--volumes-from", "owner:ro", IMAGE, "touch", "/own/g")
    assert "Read-only file system" in read_only.stderr
    assert names(box) == {"owner"} and box.shoal("exec", "owner", "cat", "/own/f") == "b\n", "what is shared stays"


def test_memory_file_systems_and_a_read_only_root(box: Cluster) -> None:
    program = script(
        "touch /x 2>/dev/null || echo root is read-only", "echo t > /scratch/f", "grep scratch /proc/mounts"
    )
    seen = output(box, "--read-only", "--tmpfs", "/scratch:size=1m,mode=700", program=program)
    assert seen.startswith("root is read-only\n") and "tmpfs" in seen and "size=1024k" in seen
    run(
        box,
        "--name",
        "twice",
        "--tmpfs",
        "/scratch",
        program=script("ls /scratch", "touch /scratch/f", "exec sleep 1000"),
    )
    box.quick("restart", "--timeout", "0", "twice")
    assert box.quick("logs", "twice") == "", "it is empty at each start"


def test_a_directory_of_one_host(box: Cluster) -> None:
    mark = box.layout.state / "mark"
    mark.mkdir()
    (mark / "f").write_text("host\n")
    options = ("--node", "h1", "--volume", f"{mark}:/host")
    assert output(box, *options, program=script("cat /host/f", "echo back > /host/g")) == "host\n"
    assert (mark / "g").read_text() == "back\n"
    missing = box.run(
        "run", "--rm", "--node", "h1", "--mount", f"type=bind,source={mark}/none,target=/x", IMAGE, "true"
    )
    assert missing.returncode == 125 and "none" in missing.stderr
