"""By hand: the corpus of Dockerfiles, built by Shoal and by Docker, and what differs in the images.

    DOCKER_HOST=unix:///run/docker.sock .venv/bin/python -m tests.bench.compare_builds [--debian ROOT] [CASE …]

It needs `docker` with BuildKit (20.10 or newer) and the current context of `shoal`, for instance a playground's. Cases
that this Docker does not know (flags that are newer) are named and left out. Times are not compared.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.integration.build.build_rig import APPLETS, BUSYBOX, GROUP, PASSWD, tar_of
from tests.integration.build.corpus import command_cases, copy_cases, instruction_cases, real_cases
from tests.integration.build.corpus.corpus_case import Case, Content
from tests.integration.build.corpus.image_tree import ImageTree, differences, read_image

BASE = "corpus-base:1"
CASES: Sequence[Case] = (*instruction_cases.CASES, *copy_cases.CASES, *command_cases.CASES)


def main() -> None:
    """Compare, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="cases; all of them otherwise")
    parser.add_argument("--debian", metavar="ROOT", help="the cases of real_cases.py, on this root file system")
    options = parser.parse_args()
    names, cases = options.names, real_cases.CASES if options.debian else CASES
    _make_base(options.debian)
    same = left_out = different = 0
    for case in cases:
        if names and case.name not in names:
            continue
        ours, theirs = _built(case, "shoal"), _built(case, "docker")
        if isinstance(theirs, str):
            left_out += 1
            print(f"{case.name}: not built by Docker: {theirs}")
            continue
        lines = [ours] if isinstance(ours, str) else list(differences(ours, theirs))
        same, different = same + (not lines), different + bool(lines)
        for line in lines:
            print(f"{case.name}: {line}")
    print(f"{same} the same, {different} different, {left_out} not built by Docker")
    sys.exit(different > 0)


def _make_base(debian: str | None) -> None:
    """The base image, the same bytes on both sides."""
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        if debian:
            _run(
                "tar",
                "-C",
                debian,
                "-cf",
                str(context / "root.tar"),
                "--exclude=./dev/*",
                "--exclude=./var/cache/*",
                ".",
            )
            (context / "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
        else:
            _write_busybox(context)
        _run("docker", "build", "-q", "-t", BASE, directory)
        _run("docker", "save", "-o", str(context / "base.tar"), BASE)
        _run("shoal", "image", "load", "-i", str(context / "base.tar"))


def _write_busybox(context: Path) -> None:
    root: dict[str, Content] = {
        "bin/": "",
        "etc/": "",
        "etc/passwd": PASSWD,
        "etc/group": GROUP,
        "root": _directory(0o700),
    }
    (context / "root.tar").write_bytes(tar_of({**root, "tmp": _directory(0o1777)}))
    links = " && ".join(f"/bin/busybox ln -s busybox /bin/{each}" for each in APPLETS)
    (context / "busybox").write_bytes(BUSYBOX)
    text = "FROM scratch\nADD root.tar /\nCOPY --chmod=755 busybox /bin/busybox\n"
    text += f'SHELL ["/bin/busybox", "sh", "-c"]\nRUN {links}\nSHELL ["/bin/sh", "-c"]\n'
    (context / "Dockerfile").write_text(text)


def _directory(mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info


def _built(case: Case, program: str) -> ImageTree | str:
    """The image that a program makes, or why it makes none."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "context").mkdir()
        _unpack(case, root / "context")
        (root / "Dockerfile").write_text(case.dockerfile.replace("$BASE", BASE))
        command = [program, "build", "-f", str(root / "Dockerfile"), *_options(case, root)]
        try:
            if program == "shoal":
                _run(*command, "-o", f"type=docker,dest={root}/image.tar", str(root / "context"))
            else:
                _run(*command, "-t", "corpus-case", str(root / "context"))
                _run("docker", "save", "-o", str(root / "image.tar"), "corpus-case")
        except RuntimeError as error:
            return str(error).splitlines()[-1]
        with (root / "image.tar").open("rb") as archive:
            return read_image(io.BytesIO(archive.read()))


def _unpack(case: Case, directory: Path) -> None:
    subprocess.run(["tar", "-xpf", "-", "-C", str(directory)], input=tar_of(case.context), check=True)


def _options(case: Case, root: Path) -> Iterator[str]:
    for key, value in case.secrets.items():
        (root / key).write_bytes(value)
        yield from ("--secret", f"id={key},src={root / key}")
    for key, value in case.options.get("build_args", {}).items():
        yield from ("--build-arg", f"{key}={value}")
    for key, value in case.options.get("labels", {}).items():
        yield from ("--label", f"{key}={value}")
    for value in case.options.get("extra_hosts", ()):
        yield from ("--add-host", value)
    if target := case.options.get("target"):
        yield from ("--target", target)


def _run(*command: str) -> None:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "DOCKER_BUILDKIT": "1"}
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")


if __name__ == "__main__":
    main()
