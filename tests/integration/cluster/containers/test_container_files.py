"""Files of containers on any of three hosts: copied there and back, compared, exported, committed."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.integration.cluster.containers.containers import IMAGE, SLEEP, load_image, node_of, run, script, state
from tests.integration.cluster.harness import SHOAL, Cluster


@pytest.fixture
def box(clean: Cluster) -> Cluster:
    """The cluster with a container that runs, and has made a file and a link."""
    load_image(clean)
    run(clean, "--name", "box", program=script("echo hello > /made; ln -s made /link; echo ready; exec sleep 1000"))
    clean.until(lambda: "ready" in clean.run("logs", "box").stdout, "the container to be ready")
    return clean


def raw(cluster: Cluster, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`shoal …` with bytes in and out."""
    environment = {"SHOAL_CONFIG": str(cluster.config), "PATH": "/usr/bin:/bin"}
    return subprocess.run([SHOAL, *words], input=data, capture_output=True, env=environment, timeout=120, check=False)


def test_files_are_copied_there_and_back(box: Cluster, tmp_path: Path) -> None:
    source = tmp_path / "site"
    (source / "sub").mkdir(parents=True)
    (source / "sub/page").write_text("page")
    (source / "index").symlink_to("sub/page")
    assert box.shoal("cp", str(source), "box:/srv") == ""
    assert box.shoal("cp", f"{source}/.", "box:new") == ""
    listing = box.shoal("exec", "box", "sh", "-c", "cat /srv/index /new/sub/page; readlink /new/index")
    assert listing.split() == ["pagepagesub/page"]
    box.shoal("cp", "box:/srv", str(tmp_path / "back"))
    assert (tmp_path / "back/sub/page").read_text() == "page" and (tmp_path / "back/index").is_symlink()
    box.shoal("cp", "box:link", str(tmp_path / "as-link"))
    assert (tmp_path / "as-link").readlink() == Path("made")
    box.shoal("cp", "--follow-link", "box:link", str(tmp_path))
    assert (tmp_path / "link").read_text() == "hello\n"
    box.shoal("cp", "box:/made", str(tmp_path / "as-link"))
    assert not (tmp_path / "made").exists() or (tmp_path / "made").read_text() == "hello\n"


def test_archives_as_streams(box: Cluster) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("deep/file")
        info.size = 3_000_000
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    done = raw(box, "cp", "-", "box:/tmp", data=buffer.getvalue())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    found = raw(box, "cp", "box:/tmp/deep", "-")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as tar:
        assert tar.getnames() == ["deep", "deep/file"] and tar.getmember("deep/file").size == 3_000_000
    assert raw(box, "cp", "-", "box:/made", data=buffer.getvalue()).stderr == (
        b'error: destination "box:/made" must be a directory\n'
    )
    broken = raw(box, "cp", "-", "box:/tmp", data=b"no archive" * 200)
    assert broken.returncode != 0 and broken.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("box:/none", "."), "no such file or directory in the container: '/none'"),
        (("none:/x", "."), 'container "none" not found'),
        (("box:/etc", "{file}"), "cannot copy directory /etc to"),
        (("{file}", "box:/none/"), "no such directory: /none/"),
        (("{file}", "box:/none/deeper"), "no such file or directory in the container: '/none'"),
        (("{directory}", "box:/made"), "cannot copy directory"),
        (("{file}-none", "box:/"), "no such file or directory"),
        (("box:/made", "{directory}/none/x"), "does not exist"),
        (("box:/a", "box:/b"), "copying between containers is not supported"),
        (("a", "b"), "must be in a container"),
        (("box:/proc/self", "{directory}"), "file system of the kernel"),
        (("box:", "."), "SOURCE must have a path after box:"),
    ],
)
def test_errors_are_one_line(box: Cluster, tmp_path: Path, words: tuple[str, str], text: str) -> None:
    (tmp_path / "file").touch()
    given = [word.format(file=tmp_path / "file", directory=tmp_path) for word in words]
    done = box.run("cp", *given)
    assert done.returncode in (1, 2) and text in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_stopped_containers_and_tasks_of_services(box: Cluster, tmp_path: Path) -> None:
    box.shoal("stop", "--time", "0", "box")
    (tmp_path / "in").write_text("in")
    box.shoal("cp", str(tmp_path / "in"), "box:/in")
    box.shoal("cp", "box:/made", str(tmp_path / "made"))
    assert (tmp_path / "made").read_text() == "hello\n"
    assert box.shoal("diff", "box").split("\n")[:-1] == ["A /in", "A /link", "A /made"]
    box.shoal("start", "box")
    assert box.shoal("exec", "box", "cat", "/in") == "in"
    box.shoal("service", "create", "--name", "web", IMAGE)
    box.shoal("cp", "web.1:/etc/hello-version", str(tmp_path / "version"))
    assert (tmp_path / "version").read_text().strip() == "1"


def test_export_is_what_import_takes(box: Cluster, tmp_path: Path) -> None:
    box.shoal("export", "--output", str(tmp_path / "box.tar"), "box")
    with tarfile.open(tmp_path / "box.tar") as tar:
        assert {"made", "link", "bin/busybox"} <= set(tar.getnames())
    streamed = raw(box, "container", "export", "box").stdout
    assert len(streamed) == (tmp_path / "box.tar").stat().st_size
    assert raw(box, "import", "-", "flat:1", data=streamed).returncode == 0
    assert box.shoal("run", "--rm", "flat:1", "cat", "/made") == "hello\n"


def test_a_commit_is_an_image_for_every_node(box: Cluster) -> None:
    home = node_of(box, "box")
    image_id = box.shoal(
        "commit", "-a", "ann", "-m", "with a file", "-c", "ENV WHO=me", "-c", 'CMD ["cat", "/made"]', "box", "mine:1"
    ).strip()
    assert image_id.startswith("sha256:") and state(box, "box") == "running"
    (found,) = json.loads(box.shoal("image", "inspect", "--format", "json", "mine:1"))
    assert (found["Id"], found["Author"], found["Comment"]) == (image_id, "ann", "with a file")
    for host in box.layout.all_hosts():
        assert box.shoal("run", "--rm", "--node", host.name, "mine:1") == "hello\n"
        assert box.shoal("run", "--rm", "--node", host.name, "mine:1", "sh", "-c", "echo $WHO") == "me\n"
    assert home in {host.name for host in box.layout.all_hosts()}
    box.shoal("service", "create", "--name", "web", "mine:1", *SLEEP)
    box.until(lambda: box.pids("web"), "the service to run")
    refused = box.run("rmi", "mine:1")
    assert refused.returncode == 1 and 'image "mine:1" is in use by web' in refused.stderr
    box.shoal("service", "rm", "web")
    box.shoal("create", "--name", "kept", "mine:1")
    refused = box.run("rmi", "mine:1")
    assert "conflict: unable to remove repository reference" in refused.stderr and "(must force)" in refused.stderr
    unnamed = box.shoal("commit", "--no-pause", "box").strip()
    assert unnamed[7:19] in box.shoal("images", "--filter", "dangling=true", "--quiet")
    events = box.shoal(
        "events", "--since", "10m", "--until", "0s", "--filter", "image=mine:1", "--filter", "type=image"
    )
    assert "tag" in events
    faults = box.run("commit", "--change", "RUN x", "box", "UPPER")
    assert faults.returncode == 2 and faults.stderr.count("\n") == 2
    box.shoal("stop", "--time", "0", "box")
    box.shoal("commit", "box", "stopped:1")
