"""Contexts that are sent as lists: a later build sends what has changed, and its steps are found in the cache."""

from pathlib import Path

from shoal.api.v1.builds_pb2 import ListBuildCacheRequest, PruneBuildCacheRequest
from tests.integration.build.build_rig import Rig, files_of, play

DOCKERFILE = """\
FROM $BASE
COPY src /src
COPY top /
RUN --mount=type=bind,target=/ctx cat /ctx/src/1 > /bound
RUN --mount=type=bind,target=/ctx,rw rm /ctx/src/1
"""


def test_what_has_changed_is_sent_and_copied(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        directory = tmp_path / "context"
        (directory / "src").mkdir(parents=True)
        for number in range(100):
            (directory / "src" / str(number)).write_text(f"{number}\n" * 100)
        (directory / "top").write_text("top")
        (directory / "src" / "link").symlink_to("1")
        first = await rig.build_directory(DOCKERFILE, directory)
        assert first.error is None and first.sent_bytes > 20_000, (first.error, first.log)
        again = await rig.build_directory(DOCKERFILE, directory)
        assert again.sent_bytes == 0 and len(again.cached) == 4 and again.published == first.published
        (directory / "top").write_text("changed")
        changed = await rig.build_directory(DOCKERFILE, directory)
        assert changed.sent_bytes == 7 and [each.split("] ")[1] for each in changed.cached] == ["COPY src /src"]
        files = files_of(await rig.pull(changed.published))
        assert files["top"][1] == b"changed" and files["src/99"][1].startswith(b"99\n")
        assert files["bound"][1].startswith(b"1\n"), "a build that writes to it changes nothing of it"
        as_archive = await rig.build(DOCKERFILE, _files(directory))
        assert len(as_archive.cached) == 4, "the same content has the same keys, however it comes"

    play(tmp_path, scenario)


def test_they_are_listed_and_pruned(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        (tmp_path / "context").mkdir()
        (tmp_path / "context" / "f").write_text("1")
        assert (await rig.build_directory("FROM $BASE\nCOPY f /\n", tmp_path / "context")).error is None
        rows = (await rig.host.cache.list(ListBuildCacheRequest())).rows
        assert [each.description for each in rows if each.type == "source.local"] == ["local source for context"]
        await rig.host.cache.prune(PruneBuildCacheRequest(all=True))
        assert not list(rig.host.cache.contexts.iterdir())

    play(tmp_path, scenario)


def _files(directory: Path) -> dict[str, bytes | str]:
    import tarfile

    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
            found[name] = info
        else:
            found[f"{name}/" if path.is_dir() else name] = b"" if path.is_dir() else path.read_bytes()
    return found  # type: ignore[return-value]
