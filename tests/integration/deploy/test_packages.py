"""`deploy/packages.sh` on a system that has no apt."""

import shutil
import subprocess
from pathlib import Path

DEPLOY = Path(__file__).parents[3] / "deploy"


def install(programs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh")
    assert shell is not None
    return subprocess.run(
        [shell, str(DEPLOY / "packages.sh"), str(DEPLOY / "packages.txt")],
        env={"PATH": str(programs), **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def system_without_apt(directory: Path) -> Path:
    for name in ("sed", "grep", "id", "env"):
        found = shutil.which(name)
        assert found is not None
        (directory / name).symlink_to(found)
    return directory


def test_it_says_what_to_install_by_hand(tmp_path: Path) -> None:
    done = install(system_without_apt(tmp_path))
    assert done.returncode == 1
    assert str(DEPLOY / "packages.txt") in done.stderr and "PACKAGES=installed" in done.stderr


def test_what_was_installed_by_hand_is_believed(tmp_path: Path) -> None:
    done = install(system_without_apt(tmp_path), PACKAGES="installed")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_is_there_needs_no_package(tmp_path: Path) -> None:
    programs = system_without_apt(tmp_path)
    for name, script in {"dpkg-query": "exit 1", "apt-get": "exit 0", "here": "exit 0", "id": "echo 1000"}.items():
        (programs / name).unlink(missing_ok=True)
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    listed = tmp_path / "listed.txt"
    listed.write_text("here:one\naway:two|four\nthree\n")
    done = subprocess.run(
        [str(shutil.which("sh")), str(DEPLOY / "packages.sh"), str(listed)],
        env={"PATH": str(programs)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().endswith("apt-get install two|four three")
