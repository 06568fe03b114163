"""The cache of builds: on the node, then in the cluster's image repository; and what is deleted of it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.build.build_cache import BuildCache
from shoal.api.v1.builds_pb2 import ListBuildCacheRequest, PruneBuildCacheRequest
from shoal.api.v1.engine_pb2 import Filter
from shoal.distribution.registries import Registries
from shoal.errors import InvalidInput
from tests.integration.build.build_rig import Rig, files_of, play
from tests.integration.images.rig import store_in
from tests.integration.registry_fixture import running_registry

DOCKERFILE = """\
FROM $BASE AS first
RUN echo one > /one
COPY f /f
FROM first
ARG V=1
RUN echo "$V" > /version
RUN head -c 8 /dev/urandom > /random
WORKDIR /srv/app
CMD ["sh"]
"""


def test_the_same_build_makes_nothing_again_and_is_the_same_image(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        first = await rig.build(DOCKERFILE, {"f": "1"})
        assert first.error is None and first.cached == []
        again = await rig.build(DOCKERFILE, {"f": "1"})
        assert len(again.cached) == 5 and again.published == first.published and not again.log
        changed = await rig.build(DOCKERFILE, {"f": "2"})
        assert [name for name in changed.cached if "COPY" in name or "random" in name] == []
        assert changed.published != first.published
        argument = await rig.build(DOCKERFILE, {"f": "1"}, build_args={"V": "2"})
        assert [name for name in argument.cached if "COPY" in name] and len(argument.cached) == 2
        uncached = await rig.build(DOCKERFILE, {"f": "1"}, no_cache=True)
        assert uncached.cached == [] and uncached.published != first.published
        stage = await rig.build(DOCKERFILE, {"f": "1"}, no_cache_stages=["first"])
        assert not [name for name in stage.cached if "first" in name]

    play(tmp_path, scenario)


def test_a_step_that_makes_the_same_lets_all_after_it_be_found(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        text = "FROM $BASE\nRUN echo {} > /dev/null; touch -d @1000000000 /x /\nRUN head -c 8 /dev/urandom > /r\n"
        first = await rig.build(text.format(1))
        second = await rig.build(text.format(2))
        assert [each.split("] ")[1][:8] for each in second.cached] == ["RUN head"], second.log
        assert files_of(await rig.pull(first.published))["r"] == files_of(await rig.pull(second.published))["r"]

    play(tmp_path, scenario)


def test_a_failed_build_keeps_what_it_has_made(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        failed = await rig.build("FROM $BASE\nRUN echo a > /a\nRUN exit 1\n")
        assert failed.error is not None
        again = await rig.build("FROM $BASE\nRUN echo a > /a\nRUN exit 0\n")
        assert [each.split("] ")[1] for each in again.cached] == ["RUN echo a > /a"]

    play(tmp_path, scenario)


def test_another_node_finds_all_in_the_repository_and_fetches_what_it_needs(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        first = await rig.build(DOCKERFILE, {"f": "1"})
        images = store_in(tmp_path / "other", Registries())
        other = rig.on_other_node(images, BuildCache(tmp_path / "other.json", images))
        try:
            again = await other.build(DOCKERFILE, {"f": "1"})
            assert len(again.cached) == 5 and again.published == first.published
            made = list(images.temporary.parent.joinpath("layers").iterdir())
            assert len(made) == 1, "the base image alone"
            more = await other.build(f"{DOCKERFILE}RUN cat /one /version > /both\n", {"f": "1"})
            assert more.error is None and len(more.cached) == 5
            assert files_of(await other.pull(more.published))["both"][1] == b"one\n1\n"
        finally:
            await images.aclose()

    play(tmp_path, scenario)


def test_what_is_kept_is_listed_and_pruned(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        cache = rig.host.cache
        first = await rig.build("FROM $BASE\nRUN head -c 1000000 /dev/urandom > /r\nRUN echo b > /b\n")
        rows = (await cache.list(ListBuildCacheRequest())).rows
        assert sorted(each.description for each in rows) == [
            "RUN echo b > /b",
            "RUN head -c 1000000 /dev/urandom > /r",
        ]
        assert sum(each.bytes > 1_000_000 for each in rows) == 1
        again = BuildCache(tmp_path / "cache.json", rig.images)
        assert len((await again.list(ListBuildCacheRequest())).rows) == 2
        assert not (await cache.prune(PruneBuildCacheRequest())).ids, "of the last days"
        image = await rig.pull(first.published)
        held = await cache.prune(PruneBuildCacheRequest(filters=[Filter(key="until", value="0s")]))
        assert not held.ids and image.layers[0].is_dir(), "an image has them"
        await rig.build("FROM $BASE\nRUN echo gone > /gone\n", output=4)
        done = await cache.prune(PruneBuildCacheRequest(filters=[Filter(key="description", value="gone")], all=True))
        assert len(done.ids) == 1 and done.reclaimed_bytes > 0
        done = await cache.prune(PruneBuildCacheRequest(all=True))
        assert len(done.ids) == 2 and done.reclaimed_bytes == 0 and image.layers[0].is_dir()
        assert not (await cache.list(ListBuildCacheRequest())).rows
        with pytest.raises(InvalidInput, match="invalid filter"):
            await cache.list(ListBuildCacheRequest(filters=[Filter(key="size", value="1")]))

    play(tmp_path, scenario)


def _elsewhere(rig: Rig, name: str) -> str:
    """A reference in the registry of base images."""
    return f"{rig.base.rpartition('/')[0]}/{name}"


async def _on_nothing(rig: Rig, path: Path, cluster: Path, build: Callable[[Rig], Awaitable[None]]) -> None:
    """A node of another cluster, which has no cache at all."""
    images = store_in(path, Registries())
    async with running_registry(cluster) as registry:
        other = rig.on_other_node(images, BuildCache(path.with_suffix(".json"), images))
        other.repository = f"127.0.0.1:{registry.port}/shoal/pool"
        try:
            await build(other)
        finally:
            await images.aclose()


@pytest.mark.parametrize("kind", ["min", "max", "inline", "local"])
def test_a_cache_that_was_exported_is_found_by_another_cluster(tmp_path: Path, kind: str) -> None:
    async def scenario(rig: Rig) -> None:
        cache, web = _elsewhere(rig, "cache:1"), _elsewhere(rig, "web:1")
        text = (
            "FROM $BASE AS first\nRUN head -c 8 /dev/urandom > /r\nFROM $BASE\nCOPY --from=first /r /x/\nRUN id > /id\n"
        )
        to = f"type=registry,ref={cache},mode={kind}"
        if kind in ("inline", "local"):
            to = "type=inline" if kind == "inline" else "type=local,mode=max"
        first = await rig.build(text, cache_to=[to], push=[web] if kind == "inline" else [])
        assert first.error is None

        async def again(other: Rig) -> None:
            if kind == "local":
                layout = b"".join(each.cache_data for each in first.outputs if each.HasField("cache_data"))
                named = {"local cache 0": layout}
                found = await other.build(text, named=named, cache_from=["type=local,context=local cache 0"])
            else:
                found = await other.build(text, cache_from=[web if kind == "inline" else cache])
            assert found.error is None, found.error
            assert len(found.cached) == (3 if kind in ("max", "local") else 0), (
                "the content of the first stage is in a key"
            )
            none = await other.build(f"{text}RUN id\n", cache_from=[_elsewhere(rig, "none:1")])
            assert none.error is None
            assert any("/none:1 is not used" in each.warning.text for each in none.outputs)

        await _on_nothing(rig, tmp_path / "other", tmp_path / "other-cluster", again)

    play(tmp_path, scenario)


def test_inline_cache_of_one_stage_is_found(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        web = _elsewhere(rig, "web:1")
        text = "FROM $BASE\nCOPY f /\nRUN head -c 8 /dev/urandom > /r\n"
        assert (await rig.build(text, {"f": "1"}, cache_to=["type=inline"], push=[web])).error is None

        async def again(other: Rig) -> None:
            found = await other.build(f"{text}RUN cat /r > /s\n", {"f": "1"}, cache_from=[f"type=registry,ref={web}"])
            assert found.error is None and len(found.cached) == 2

        await _on_nothing(rig, tmp_path / "other", tmp_path / "other-cluster", again)

    play(tmp_path, scenario)


def test_only_what_images_have_is_found_by_the_classic_builder(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        web = _elsewhere(rig, "web:1")
        text = "FROM $BASE\nRUN touch /a\nRUN touch /b\n"
        await rig.build(text, push=[web])
        await rig.build(f"{text}RUN touch /c\n")
        found = await rig.build(f"{text}RUN touch /c\n", cache_from=[web], only_cache_from=True)
        assert [each.split("] ")[1] for each in found.cached] == ["RUN touch /a", "RUN touch /b"]
        none = await rig.build(text, cache_from=[_elsewhere(rig, "none:1")], only_cache_from=True)
        assert none.error is None and not none.cached

    play(tmp_path, scenario)


def test_an_image_that_only_the_cluster_has_is_a_cache_by_its_name(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        text = "FROM $BASE\nRUN touch /a\n"
        built = await rig.build(text)
        name = "registry.invalid/team/web"
        rig.names[f"{name}:1"] = f"{name}@{built.published}"
        found = await rig.build(text, cache_from=[f"{name}:1"], only_cache_from=True)
        assert found.error is None and not [each for each in found.outputs if each.HasField("warning")]
        assert [each.split("] ")[1] for each in found.cached] == ["RUN touch /a"]

    play(tmp_path, scenario)


CACHED_MOUNTS = """\
FROM $BASE AS initial
RUN mkdir /seed && echo seed > /seed/s
FROM $BASE
RUN --mount=type=cache,target=/c,id=one,uid=1000,mode=0750 \\
    echo x >> /c/count; cat /c/count > /count; stat -c '%a %u' /c > /mode
RUN --mount=type=cache,target=/c,from=initial,source=/seed,sharing=locked cat /c/s > /seeded
RUN --mount=type=cache,target=/c,id=one,ro ! touch /c/new
"""


def test_cache_directories_outlive_builds_and_are_no_part_of_the_image(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        for count in (1, 2):
            end = await rig.build(CACHED_MOUNTS, no_cache=True)
            assert end.error is None, (end.error, end.log)
            files = files_of(await rig.pull(end.published))
            assert files["count"][1] == b"x\n" * count and files["mode"][1] == b"750 1000\n"
            assert files["seeded"][1] == b"seed\n" and "c" not in files
        rows = (
            await rig.host.cache.list(ListBuildCacheRequest(filters=[Filter(key="type", value="exec.cachemount")]))
        ).rows
        assert sorted(each.description for each in rows) == ["cached mount /c", "cached mount one"]
        done = await rig.host.cache.prune(PruneBuildCacheRequest(all=True))
        assert len(done.ids) > 2 and not list(rig.host.cache.mounts.iterdir())

    play(tmp_path, scenario)


def test_a_locked_cache_directory_has_one_command_at_a_time(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        script = "test ! -e /c/busy && touch /c/busy && sleep 1 && rm /c/busy"
        text = f"FROM $BASE\nRUN --mount=type=cache,target=/c,sharing={{}} {script} # {{}}\n"
        for sharing in ("locked", "private"):
            both = await asyncio.gather(*(rig.build(text.format(sharing, number)) for number in (1, 2)))
            assert [end.error for end in both] == [None, None], sharing
        meets = "touch /c/$1; until test -e /c/1 && test -e /c/2; do sleep 0.05; done"  # each waits for the other one
        text = f"FROM $BASE\nRUN --mount=type=cache,target=/c,sharing=shared set -- {{}}; {meets}\n"
        both = await asyncio.gather(*(rig.build(text.format(number)) for number in (1, 2)))
        assert [end.error for end in both] == [None, None]

    play(tmp_path, scenario)
