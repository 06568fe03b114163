"""Dockerfiles that need not be read again."""

from pathlib import Path

import pytest

from cli.builds.known_dockerfiles import MAX_FILES, dockerfile_key, known_images, remember_images
from shoal.api.v1.builds_pb2 import BuildStart

PLAIN = b"FROM alpine\nARG N\nRUN echo $N\n"


def test_images_are_kept_by_what_decides_them(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    key = dockerfile_key(PLAIN, "Dockerfile", BuildStart())
    assert known_images(environment, key) is None
    remember_images(environment, key, ["alpine"])
    assert known_images(environment, key) == ["alpine"]
    others = [
        dockerfile_key(PLAIN + b"\n", "Dockerfile", BuildStart()),
        dockerfile_key(PLAIN, "other", BuildStart()),
        dockerfile_key(PLAIN, "Dockerfile", BuildStart(target="x")),
        dockerfile_key(PLAIN, "Dockerfile", BuildStart(platform="linux/arm64")),
        dockerfile_key(PLAIN, "Dockerfile", BuildStart(contexts={"alpine": "docker-image://busybox"})),
        dockerfile_key(PLAIN, "Dockerfile", BuildStart(build_args={"BUILDKIT_SYNTAX": "x"})),
    ]
    assert len({key, *others}) == 7


@pytest.mark.parametrize(
    ("text", "matters"),
    [
        (PLAIN, False),
        (b"ARG N\nFROM alpine:$N\n", True),
        (b"ARG N\nARG M=${N}\nFROM alpine\n", True),
        (b"FROM alpine\nRUN --mount=from=$N,target=/x true\n", True),
        (b"# escape=`\nFROM `\n  alpine:$N\n", True),
        (b"FROM alpine\nFROM \\\n alpine:$N\n", True),
    ],
)
def test_arguments_count_where_they_may_decide_an_image(text: bytes, matters: bool) -> None:
    keys = {dockerfile_key(text, "Dockerfile", BuildStart(build_args={"N": each})) for each in "12"}
    assert (len(keys) == 2) == matters


def test_so_many_are_kept_and_what_is_broken_is_read_again(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    for number in range(MAX_FILES + 3):
        remember_images(environment, f"k{number}", [])
    kept = tmp_path / "shoal" / "dockerfiles"
    assert len(list(kept.iterdir())) == MAX_FILES
    (kept / "k300").write_text("[1]")
    (kept / "k301").write_text("{")
    assert known_images(environment, "k300") is None and known_images(environment, "k301") is None
