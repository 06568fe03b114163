"""Dockerfiles, patterns of .dockerignore, and configurations of base images: from users and from registries."""

import json
from collections.abc import Mapping
from typing import Any

from shoal.distribution.manifests import Platform
from shoal.dockerfile.checks.check_build import check_build
from shoal.dockerfile.document import parse_dockerfile
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.evaluate import Evaluation, evaluate, image_config
from shoal.dockerfile.evaluation.needs import find_needs
from shoal.dockerfile.evaluation.stage_plan import plan_stages
from shoal.dockerfile.graph.build_graph import build_graph
from shoal.dockerfile.graph.cache_keys import KeyInputs, cache_key, content_count
from shoal.dockerfile.graph.vertices import CopyVertex, DirectoryVertex, RunVertex
from shoal.dockerfile.ignore_patterns import PatternMatcher, read_patterns
from shoal.dockerfile.mount_options import parse_mount
from shoal.dockerfile.shell_words import MAX_EXPANDED, expand
from shoal.errors import InvalidInput
from shoal.images.config_changes import apply_changes

PLATFORM = Platform("linux", "amd64")
EXAMPLES = (
    b"# escape=`\nARG V=1\nFROM --platform=$BUILDPLATFORM a:$V AS b\nRUN --mount=type=cache,target=/c `\n  make\n",
    b"FROM a AS b\nRUN <<E\n#!/bin/sh\nE\nFROM b\nCOPY --from=b --chown=1:2 --link <<-X a* /d/\n\t${V:-x}\n\tX\n",
    b'# check=skip=all;error=true\nFROM scratch\nHEALTHCHECK --interval=1s CMD ["a"]\nEXPOSE 127.0.0.1:1:2-3/udp\n',
    b"FROM a\nONBUILD COPY --from=0 a b\nENV a=${a#*/} b='c d' \"e\"=f\nWORKDIR ../x\nSTOPSIGNAL RTMIN+3\n",
    b"ENV a=$b\nHEALTHCHECK NONE",
    b"type=secret,id=a,env=B,mode=0400,required",
    b"${path//\\//_}${a:-${b:+'c d'}}",
    b"**/a*b?[^c-d]\n!x/**\n",
    b'{"config": {"OnBuild": ["RUN x"], "Env": ["A=1"], "Shell": ["b"]}, "history": [{}], "os": "linux"}',
)


def fuzz_dockerfile(data: bytes) -> None:
    """A graph, a configuration and warnings, or faults with their lines."""
    try:
        _build(data.decode("utf-8", "replace"), {})
    except InvalidInput as error:
        assert error.faults and all(each.message for each in error.faults)


def fuzz_base_image(data: bytes) -> None:
    """The configuration of an image of a registry, whatever it is: the result is JSON."""
    try:
        image = json.loads(data)
    except (ValueError, RecursionError):
        return
    text = "FROM a\nENV b=1\nLABEL c=d\nEXPOSE 1\nVOLUME /v\nWORKDIR w\nCMD x\nRUN y\nONBUILD RUN z\n"
    try:
        evaluation = _build(text, image if isinstance(image, dict) else {})
    except InvalidInput as error:
        assert error.faults
        return
    assert json.dumps(image_config(evaluation.target, ["sha256:0"], ""))


def fuzz_changes(data: bytes) -> None:
    """Instructions of `--change`."""
    before = {"Env": ["A=1"]}
    try:
        apply_changes(before, data.decode("utf-8", "replace").split("\n"))
    except InvalidInput as error:
        assert error.faults
    assert before == {"Env": ["A=1"]}


def fuzz_words(data: bytes) -> None:
    """Words with variables: bounded, or refused."""
    try:
        found = expand(data.decode("utf-8", "replace"), {"a": "x y", "path": "/a/b", "b": ""})
    except InvalidInput as error:
        assert str(error)
        return
    assert len(found.text) <= MAX_EXPANDED


def fuzz_mount(data: bytes) -> None:
    """The options of one mount."""
    try:
        parse_mount(data.decode("utf-8", "replace"), str)
    except InvalidInput as error:
        assert str(error)


def fuzz_ignore_patterns(data: bytes) -> None:
    """Patterns on a path that makes regular expressions take for ever."""
    try:
        matcher = PatternMatcher(read_patterns(data[:500].decode("utf-8", "replace")))
    except InvalidInput as error:
        assert error.faults
        return
    matcher.excludes("a/" * 50 + "b" * 50)


def _build(text: str, image: Mapping[str, Any]) -> Evaluation:
    plan = plan_stages(parse_dockerfile(text), BuildOptions(PLATFORM, PLATFORM, arguments={"V": "2"}), every_stage=True)
    images: dict[ImageSource, Mapping[str, Any]] = {}
    while unknown := find_needs(plan, images).unknown(images):
        images |= dict.fromkeys(unknown, image)
    evaluation = evaluate(plan, images)
    check_build(evaluation, images)
    for vertex in build_graph(evaluation).vertices:
        if isinstance(vertex, RunVertex | CopyVertex | DirectoryVertex):
            cache_key(vertex, KeyInputs(contents=[""] * content_count(vertex)))
    return evaluation
