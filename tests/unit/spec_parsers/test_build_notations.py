"""BuildKit's notations for builds: secrets, arguments, contexts, outputs, caches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.build_caches import cache_reference, parse_cache
from shoal.spec_parsers.builds.build_inputs import (
    NamedContext,
    SecretSource,
    is_remote,
    parse_assignment,
    parse_named_context,
    parse_secret,
)
from shoal.spec_parsers.builds.build_outputs import BuildOutputOption, parse_output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id=npm,src=.npmrc", SecretSource("npm", file=".npmrc")),
        ("id=npm,source=/a/b", SecretSource("npm", file="/a/b")),
        ("id=npm", SecretSource("npm")),
        ("id=npm,env=NPM", SecretSource("npm", variable="NPM")),
        ("type=env,id=NPM", SecretSource("NPM", variable="NPM")),
        ("type=env,id=a,src=B", SecretSource("a", variable="B")),
        ("type=file,id=a", SecretSource("a", file="a")),
        ('id=a,"src=x,y"', SecretSource("a", file="x,y")),
    ],
)
def test_secrets(text: str, expected: SecretSource) -> None:
    assert parse_secret(text) == expected


@pytest.mark.parametrize("text", ["", "src=a", "id=a,b=c", "id=a,src=b,env=C", "type=vault,id=a", "npm", '"id=a'])
def test_bad_secrets(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_secret(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out", BuildOutputOption("local", "out")),
        ("-", BuildOutputOption("tar", "-")),
        ("type=local,dest=out/x", BuildOutputOption("local", "out/x")),
        ("type=tar,dest=-", BuildOutputOption("tar", "-")),
        ("type=oci,dest=a.tar", BuildOutputOption("oci", "a.tar", media_types="oci")),
        ("type=docker", BuildOutputOption("docker")),
        ('type=image,"name=a,b",push=true', BuildOutputOption("image", names=("a", "b"), push=True)),
        (
            "type=registry,compression=zstd,compression-level=3",
            BuildOutputOption("registry", push=True, compression="zstd", compression_level=3),
        ),
        ("type=image,oci-mediatypes=true", BuildOutputOption("image", media_types="oci")),
        ("type=cacheonly", BuildOutputOption("cacheonly")),
    ],
)
def test_outputs(text: str, expected: BuildOutputOption) -> None:
    assert parse_output(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dest=out",
        "type=local",
        "type=tar",
        "type=local,dest=-",
        "type=s3,dest=x",
        "type=local,dest=x,push=true",
        "type=image,push=perhaps",
        "type=image,compression=lzma",
        "type=image,compression-level=x",
    ],
)
def test_bad_outputs(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_output(text)


@pytest.mark.parametrize(
    ("given", "export", "image"),
    [
        ("registry:5000/a", False, "registry:5000/a"),
        ("registry:5000/a", True, "registry:5000/a"),
        ("type=registry,mode=max,ref=registry:5000/a:1", True, "registry:5000/a:1"),
        ("type=inline", True, ""),
        ("type=local,dest=cache", True, ""),
    ],
)
def test_the_image_of_a_cache(given: str, export: bool, image: str) -> None:
    assert cache_reference(parse_cache(given, export=export)) == image


def test_caches() -> None:
    assert parse_cache("registry:5000/a", export=False) == "registry:5000/a"
    assert parse_cache("registry:5000/a", export=True) == "type=registry,ref=registry:5000/a"
    assert parse_cache("ref=registry:5000/a,mode=max", export=True) == "type=registry,ref=registry:5000/a,mode=max"
    assert parse_cache("type=inline", export=True) == "type=inline"
    assert parse_cache("type=local,dest=c,mode=max", export=True) == "type=local,dest=c,mode=max"
    assert parse_cache("type=local,src=c", export=False) == "type=local,src=c"
    for text in (
        "type=gha",
        "type=local",
        "type=local,dest=x",
        "type=local,src=x,tag=y",
        "type=registry",
        "type=inline",
        "A b",
    ):
        with pytest.raises(InvalidInput):
            parse_cache(text, export=False)


def test_named_contexts() -> None:
    assert parse_named_context("Base=docker-image://alpine:3") == NamedContext("base", "docker-image://alpine:3", False)
    assert parse_named_context("src=../lib") == NamedContext("src", "../lib", is_directory=True)
    assert not parse_named_context("src=https://example.org/a.git").is_directory
    for text in ("src", "=x", "a=", "a=oci-layout://x", "a=docker-image://A B"):
        with pytest.raises(InvalidInput):
            parse_named_context(text)


def test_build_arguments_come_from_the_environment_where_they_have_no_value() -> None:
    assert parse_assignment("A=1=2", {}) == ("A", "1=2")
    assert parse_assignment("A", {"A": "x"}) == ("A", "x")
    assert parse_assignment("A", {}) is None
    with pytest.raises(InvalidInput):
        parse_assignment("=x", {})


def test_addresses_are_told_from_paths() -> None:
    assert is_remote("https://example.org/a.tar.gz") and is_remote("git@example.org:a/b.git")
    assert is_remote("github.com/a/b") and not is_remote("./github.com") and not is_remote(".")


@given(st.text(alphabet=st.sampled_from(list('typeidsrc=,"\\ \n-.')) | st.characters(max_codepoint=200), max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (parse_secret, parse_output, parse_named_context, lambda each: parse_cache(each, export=True)):
        try:
            parse(text)
        except InvalidInput:
            continue
