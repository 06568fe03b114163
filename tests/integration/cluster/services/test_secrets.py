"""Secrets and configs from the command line to the container, and where they may not be on the way."""

import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.cluster.agents import restart_agent
from tests.integration.cluster.harness import Cluster, inside

HELLO = "registry:5000/hello"
WORD = "tOpSeCrEt-4f1c9-plaintext"
MANAGER = Path(sys.executable).parent / "shoal-manager"


@pytest.fixture
def files(clean: Cluster) -> Cluster:
    """The cluster; secrets and configs are removed after the test."""
    return clean


def create(cluster: Cluster, kind: str, name: str, content: str) -> None:
    done = cluster.run(kind, "create", name, "-", text=content)
    assert done.returncode == 0, done.stderr


def files_with(root: Path, text: bytes) -> list[Path]:
    """Regular files that hold the text: logs, journal, etcd's data, bundles. What goes meanwhile is passed over."""
    found = []
    for directory, _, names in os.walk(root):
        for path in (Path(directory, name) for name in names):
            with suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode) and text in path.read_bytes():
                    found.append(path)
    return found


def etcd_values(cluster: Cluster) -> bytes:
    """Every key and value, as etcd gives them out."""
    command = ["etcdctl", "--endpoints=unix://client:0", "get", "", "--prefix"]
    directory = cluster.layout.manager_state / "etcd"
    return subprocess.run(command, cwd=directory, capture_output=True, check=True, timeout=30).stdout


def in_memory(pid: int, text: bytes) -> bool:
    """Whether a process has the text anywhere in its writable memory (proc(5), maps and mem)."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123  # unbuffered, to seek
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *rest = line.split()
            if not rights.startswith("rw") or rest[-1] in ("[vvar]", "[vsyscall]"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                if text in memory.read(end - start):
                    return True
            except OSError:
                continue  # unmapped meanwhile
    return False


def test_a_secret_is_in_its_container_and_nowhere_else(files: Cluster) -> None:
    create(files, "secret", "pw", WORD)
    create(files, "config", "motd", "welcome\n")
    files.shoal(
        *("service", "create", "--name", "web", "--secret", "source=pw,mode=0400,uid=7,gid=8"),
        *("--config", "source=motd,target=/etc/app/motd", f"{HELLO}:1"),
    )
    (pid,) = files.pids("web").values()
    assert inside(pid, "/bin/cat", "/run/secrets/pw").stdout == WORD
    assert inside(pid, "/bin/cat", "/etc/app/motd").stdout == "welcome\n"
    assert inside(pid, "/bin/stat", "-c", "%a %u %g", "/run/secrets/pw").stdout.split() == ["400", "7", "8"]
    assert inside(pid, "/bin/sh", "-c", "echo x > /run/secrets/pw").returncode != 0, "it is read-only"
    mounts = [line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if "/run/secrets/pw" in line]
    assert len(mounts) == 1 and " - tmpfs shoal-files " in mounts[0]
    word = WORD.encode()
    values = etcd_values(files)
    assert b"welcome" in values, "configs lie in etcd as they are"
    assert word not in values
    assert not files_with(files.layout.state, word) and not files_with(files.layout.run, word)
    assert WORD not in files.shoal("secret", "inspect", "pw") + files.shoal("service", "inspect", "web")
    assert "shoal-files" not in Path("/proc/self/mountinfo").read_text(), "the host does not see the mount"


def test_nodes_without_a_task_of_it_never_get_it(files: Cluster) -> None:
    word = f"{WORD}-of-h1-alone"
    create(files, "secret", "pw", word)
    files.shoal(
        *("service", "create", "--name", "web", "--constraint", "node.hostname == h1", "--secret", "pw"),
        f"{HELLO}:1",
    )
    files.shoal("service", "create", "--name", "other", "--mode", "global", f"{HELLO}:1")
    (pid,) = files.pids("web").values()
    assert inside(pid, "/bin/cat", "/run/secrets/pw").stdout == word
    assert in_memory(files.playground.pid("h1"), word.encode()), "the look into memory finds what is there"
    for name in ("h2", "h3"):
        assert not in_memory(files.playground.pid(name), word.encode()), f"the agent of {name} has it"


def test_what_is_in_use_is_not_removed(files: Cluster) -> None:
    create(files, "secret", "pw", WORD)
    files.shoal("service", "create", "--name", "web", "--secret", "pw", f"{HELLO}:1")
    refused = files.run("secret", "rm", "pw")
    assert refused.returncode == 1 and "in use by web" in refused.stderr
    files.shoal("service", "update", "--secret-rm", "pw", "web")
    files.shoal("secret", "rm", "pw")


def test_an_update_rolls_the_service_and_a_rollback_brings_the_old_one_back(files: Cluster) -> None:
    create(files, "secret", "pw", "one")
    files.shoal("service", "create", "--name", "web", "--replicas", "2", "--secret", "pw", f"{HELLO}:1")
    before = files.pids("web")

    def contents() -> list[str]:
        return [inside(pid, "/bin/cat", "/run/secrets/pw").stdout for pid in files.pids("web").values() if pid]

    done = files.run("secret", "update", "pw", "-", text="two")
    assert "service web (update)" in done.stdout, done.stderr
    files.until(lambda: contents() == ["two", "two"], "the new version in both tasks")
    assert not before.keys() & files.pids("web").keys()
    files.shoal("service", "rollback", "web")
    assert contents() == ["one", "one"]


def test_containers_keep_their_secret_when_the_agent_starts_again(files: Cluster) -> None:
    create(files, "secret", "pw", WORD)
    files.shoal("service", "create", "--name", "web", "--mode", "global", "--secret", "pw", f"{HELLO}:1")
    before = files.pids("web")
    restart_agent(files, files.layout.host(1))
    assert files.pids("web") == before
    assert all(inside(pid, "/bin/cat", "/run/secrets/pw").stdout == WORD for pid in before.values())


def test_the_cluster_key_is_rotated(files: Cluster) -> None:
    create(files, "secret", "pw", WORD)
    state = files.layout.manager_state
    subprocess.run([MANAGER, "rotate-key", "--state-directory", state], check=True, timeout=30, capture_output=True)
    files.playground.stop_manager()
    files.playground.start_manager()
    files.playground.wait_for_nodes(3)
    log = files.layout.state / "logs" / "manager.log"
    files.until(lambda: "all data is encrypted with the new cluster key" in log.read_text(), "the re-encryption")
    (state / "cluster.key.old").unlink()
    files.playground.stop_manager()
    files.playground.start_manager()
    files.playground.wait_for_nodes(3)
    files.shoal("service", "create", "--name", "web", "--secret", "pw", f"{HELLO}:1")
    (pid,) = files.pids("web").values()
    assert inside(pid, "/bin/cat", "/run/secrets/pw").stdout == WORD


def test_a_stack_with_secrets(files: Cluster, tmp_path: Path) -> None:
    (tmp_path / "pw.txt").write_text("one")
    (tmp_path / "stack.yaml").write_text(
        f"services:\n  web:\n    image: {HELLO}:1\n    secrets: [pw]\nsecrets:\n  pw: {{file: ./pw.txt}}\n"
    )
    deploy = ("stack", "deploy", "-c", str(tmp_path / "stack.yaml"), "shop")
    files.shoal(*deploy)
    (tmp_path / "pw.txt").write_text("two")
    assert "secret shop_pw (update)" in files.shoal(*deploy)
    (pid,) = files.pids("shop_web").values()
    assert inside(pid, "/bin/cat", "/run/secrets/pw").stdout == "two"
    files.shoal("stack", "rm", "shop")
    assert not files.json("secret", "ls")
