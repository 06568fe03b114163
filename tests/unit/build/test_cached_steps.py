"""Caches in images: what is written is read, and what anybody else has written does no harm."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build.program.caching.cache_images import cache_image
from agent.build.program.caching.cached_steps import FIELD, CachedStep, cache_config, cache_field, read_cache_field
from agent.build.program.refusals import check_request
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.distribution.manifests import OCI_CONFIG, OCI_LAYER_GZIP, Descriptor, Manifest
from shoal.errors import InvalidInput, Refused
from shoal.spec_parsers.builds.build_caches import CacheSpec, read_cache

ONE = CachedStep("a" * 64, f"sha256:{'1' * 64}", 5, "RUN one")
TWO = CachedStep("b" * 64, f"sha256:{'2' * 64}", 6, "RUN two")


def manifest(*digits: str) -> Manifest:
    layers = tuple(Descriptor(OCI_LAYER_GZIP, f"sha256:{each * 64}", 7) for each in digits)
    return Manifest(Descriptor(OCI_CONFIG, f"sha256:{'c' * 64}", 7), layers)


def test_what_is_written_is_read() -> None:
    config = cache_config(("linux", "arm64", "v8"), [ONE, TWO])
    assert list(read_cache_field(config)) == [ONE, TWO] and config["variant"] == "v8"
    image = cache_image("r@d", manifest("8", "9"), config)
    assert image.steps == {ONE.key: ONE, TWO.key: TWO}
    assert image.blobs[TWO.diff_id].digest == f"sha256:{'9' * 64}"


def test_two_keys_of_one_layer_are_one_layer() -> None:
    again = CachedStep("d" * 64, ONE.diff_id, 7, "RUN again")
    config = cache_config(("linux", "amd64", ""), [ONE, again, TWO])
    assert config["rootfs"]["diff_ids"] == [ONE.diff_id, TWO.diff_id]
    assert set(cache_image("r", manifest("8", "9"), config).steps) == {ONE.key, TWO.key, again.key}


def test_steps_of_layers_that_the_image_does_not_have_are_none() -> None:
    config = {"rootfs": {"diff_ids": [TWO.diff_id]}, **cache_field([ONE, TWO])}
    assert set(cache_image("r", manifest("9"), config).steps) == {TWO.key}


@pytest.mark.parametrize("rootfs", [None, {}, {"diff_ids": "x"}, {"diff_ids": [1]}, {"diff_ids": [ONE.diff_id] * 3}])
def test_documents_that_do_not_fit(rootfs: object) -> None:
    with pytest.raises(InvalidInput):
        cache_image("r", manifest("8"), {"rootfs": rootfs})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "diff_id", "steps", "version", "created_at_ms", "x"]), inner, max_size=4
        )
    ),
)


@given(VALUES, VALUES)
def test_nonsense_is_nothing(field: Any, steps: Any) -> None:
    assert list(read_cache_field({FIELD: field})) == []
    for step in read_cache_field({FIELD: {"version": 1, "steps": steps}}):
        assert isinstance(step, CachedStep)


def test_caches_as_they_are_written() -> None:
    assert read_cache("team/web", export=False) == CacheSpec("registry", "docker.io/team/web:latest")
    spec = read_cache("type=registry,ref=r:5000/c:2,mode=max,ignore-error=true", export=True)
    assert spec == CacheSpec("registry", "r:5000/c:2", is_max=True, ignores_errors=True)
    assert read_cache("type=inline", export=True) == CacheSpec("inline")
    assert read_cache("type=local,mode=max", export=True) == CacheSpec("local", is_max=True)
    assert read_cache("type=local,context=c", export=False) == CacheSpec("local", context="c")
    for text, export in (("type=local,dest=d", True), ("type=local,src=d", False), ("type=local,context=c", True)):
        with pytest.raises(InvalidInput, match="only supported by `shoal build`"):
            read_cache(text, export=export)
    with pytest.raises(InvalidInput, match="mode"):
        read_cache("type=registry,ref=r:5000/c:2,mode=all", export=True)


def test_requests_with_caches() -> None:
    check_request(BuildStart(cache_from=["a:1"], cache_to=["type=inline"]), has_repository=True)
    with pytest.raises(InvalidInput, match=r"cache_to\[1\]: .*gha"):
        check_request(BuildStart(cache_to=["type=inline", "type=gha"]), has_repository=True)
    with pytest.raises(Refused):
        check_request(BuildStart(cache_to=["type=inline"]), has_repository=False)
