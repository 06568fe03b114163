"""Blobs that are read on after a broken connection, archives' indexes, names and documents of images."""

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.meta_pb2 import Platform as PlatformMessage
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor, Platform
from shoal.distribution.registry_client import BlobStream, Repository
from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.image_reference import parse
from shoal.images.config_changes import apply_changes
from shoal.images.image_documents import choose_variant, digests_of, history, inspect_document, tags_of
from shoal.images.piecewise_digest import PiecewiseDigest
from shoal.images.repository_name import keeping_tag, parse_repository_name, record_name
from shoal.images.source_blob import SourceBlob
from shoal.images.tar_index import MAX_EXTENDED_BYTES, IndexedFile, read_index

CONTENT = bytes(range(256)) * 40


class FlakyRepository:
    """A repository whose connections break after so many bytes each."""

    def __init__(self, content: bytes, *breaks: int, knows_ranges: bool = True) -> None:
        self.content = content
        self.breaks = list(breaks)
        self.offsets: list[int] = []
        self.knows_ranges = knows_ranges

    @asynccontextmanager
    async def blob_stream(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[BlobStream]:
        self.offsets.append(offset)
        start = offset if self.knows_ranges else 0
        limit = self.breaks.pop(0) if self.breaks else len(self.content)

        async def chunks() -> AsyncGenerator[bytes]:
            rest = self.content[start : start + limit]
            for at in range(0, len(rest), 100):
                yield rest[at : at + 100]
            if start + limit < len(self.content):
                raise Unavailable("the connection broke")

        yield BlobStream(start, chunks())


def read(repository: FlakyRepository, offset: int = 0, *, expected: bytes = CONTENT) -> bytes:
    """All bytes of its blob, without waiting between tries."""

    async def run() -> bytes:
        async def no_wait(_: float) -> None:
            return None

        blob = SourceBlob(
            cast(Repository, repository),
            Descriptor("", digest_of(expected), len(expected)),
            on_bytes=lambda _: None,
            sleep=no_wait,
        )
        return b"".join([piece async for piece in blob.open(offset)])

    return asyncio.run(run())


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_blob_goes_on_where_its_connection_broke(knows_ranges: bool) -> None:
    repository = FlakyRepository(CONTENT, 1000, 3000, knows_ranges=knows_ranges)
    assert read(repository) == CONTENT
    assert repository.offsets[:2] == [0, 1000]


def test_a_registry_that_never_sends_a_byte_is_given_up() -> None:
    repository = FlakyRepository(CONTENT, *[0] * 20)
    with pytest.raises(Unavailable):
        read(repository)
    assert len(repository.offsets) == 4


def test_a_corrupt_blob_does_not_end() -> None:
    changed = CONTENT[:-1] + b"x"
    with pytest.raises(InvalidInput, match="corrupt"):
        read(FlakyRepository(changed))


@given(st.binary(min_size=1, max_size=400), st.data())
def test_a_digest_survives_any_reading_again(content: bytes, data: st.DataObject) -> None:
    check = PiecewiseDigest(digest_of(content), len(content))
    position, started = 0, [0]
    check.seek(0)
    for _ in range(60):
        if data.draw(st.booleans()):
            position = data.draw(st.sampled_from(started))
            check.seek(position)
        if position == len(content):
            break
        length = data.draw(st.integers(1, len(content) - position))
        check.update(content[position : position + length])
        cut = data.draw(st.integers(position, position + length))
        if cut < position + length:
            check.seek(cut)
            started.append(cut)
        position = cut if cut < position + length else position + length
    check.seek(0)
    check.update(content)


def test_a_wrong_byte_is_found_after_reading_again() -> None:
    check = PiecewiseDigest(digest_of(b"abcdef"), 6)
    check.seek(0)
    check.update(b"abcd")
    check.seek(3)
    with pytest.raises(InvalidInput, match="corrupt"):
        check.update(b"dxf")
    with pytest.raises(InvalidInput, match="cannot be read on"):
        check.seek(2)


def archive_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def index_of(content: bytes) -> list[IndexedFile]:
    """The index of an archive in memory."""
    return list(read_index(io.BytesIO(content), len(content)))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_index_agrees_with_tarfile(form: int) -> None:
    long = "d" * 60 + "/" + "f" * (90 if form == tarfile.USTAR_FORMAT else 250)
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "a"
    content = archive_of(
        (tarfile.TarInfo("./a"), b"1" * 700),
        (tarfile.TarInfo(long), b""),
        (link, b""),
        (tarfile.TarInfo("z"), b"z"),
        form=form,
    )
    found = index_of(content)
    assert [each.name for each in found] == ["a", long, "link", "z"]
    assert found[2].link == "a"
    assert content[found[3].offset :][:1] == b"z"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert [each.offset_data for each in tar.getmembers()] == [each.offset for each in found]


def test_archives_that_lie_are_refused() -> None:
    big = tarfile.TarInfo("x")
    big.type, big.size = tarfile.XHDTYPE, MAX_EXTENDED_BYTES + 1
    with pytest.raises(InvalidInput, match=r"ends early|extended header"):
        index_of(big.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    cut = archive_of((tarfile.TarInfo("a"), b"1" * 5000))[:3000]
    with pytest.raises(InvalidInput, match="ends early"):
        index_of(cut)
    with pytest.raises(InvalidInput, match="not a tar archive"):
        index_of(b"hello" * 200)
    sparse = tarfile.TarInfo("hole")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(1 << 60)}
    with pytest.raises(InvalidInput, match="sparse"):
        index_of(archive_of((sparse, b"")))
    negative = tarfile.TarInfo("n")
    negative.pax_headers = {"size": "-5"}
    with pytest.raises(InvalidInput, match="invalid size"):
        index_of(archive_of((negative, b"")))


@given(st.binary(max_size=3000))
def test_no_bytes_confuse_an_index(content: bytes) -> None:
    base = bytearray(archive_of((tarfile.TarInfo("a"), b"1" * 700), form=tarfile.GNU_FORMAT))
    base[: len(content)] = content[: len(base)]
    try:
        index_of(bytes(base))
    except InvalidInput as error:
        assert str(error)


def test_names_of_repositories() -> None:
    assert str(parse_repository_name("registry:5000")) == "registry:5000/shoal/pool"
    assert str(parse_repository_name("localhost")) == "localhost/shoal/pool"
    assert str(parse_repository_name("registry.example.org/a/b")) == "registry.example.org/a/b"
    with pytest.raises(InvalidInput, match="without a tag"):
        parse_repository_name("registry:5000/a:1")
    assert keeping_tag("sha256:" + "a" * 64) == "m-" + "a" * 64
    with pytest.raises(InvalidInput):
        keeping_tag("sha512:" + "a" * 128)


def test_names_of_records() -> None:
    digest = "sha256:" + "b" * 64
    assert record_name(parse("nginx")) == "docker.io/library/nginx:latest"
    assert record_name(parse(f"nginx:1@{digest}")) == f"docker.io/library/nginx@{digest}"


def variant_of(config: dict[str, object], *, architecture: str = "amd64") -> ImageVariant:
    """A variant of two layers."""
    content = json.dumps(config).encode()
    return ImageVariant(
        platform=PlatformMessage(os="linux", architecture=architecture),
        config_digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
        config=content,
        layers=["sha256:1", "sha256:2"],
        layer_bytes=[10, 20],
        stored_bytes=31,
    )


HISTORY = [
    {"created": "2026-01-01T00:00:00Z", "created_by": "ADD rootfs"},
    {"created": "2026-01-02T00:00:00Z", "created_by": "ENV a=b", "empty_layer": True},
    {"created": "2026-01-03T00:00:00Z", "created_by": "COPY .", "comment": "buildkit"},
]


def test_history_has_the_newest_step_first_and_sizes_of_layers() -> None:
    variant = variant_of({"history": HISTORY})
    view = ImageView(image=Image(digest="sha256:m", variants=[variant]), names=["docker.io/library/a:1"])
    steps = history(view, variant)
    assert [each.size_bytes for each in steps] == [20, 0, 10]
    assert steps[0].image_id == variant.config_digest
    assert (steps[0].tags, steps[0].comment, steps[1].image_id) == (("a:1",), "buildkit", "<missing>")
    assert len(history(view, variant_of({}))) == 2


def test_documents_of_images() -> None:
    variant = variant_of({"config": {"Cmd": ["sh"]}, "created": "2026-01-03T00:00:00Z", "history": HISTORY})
    digest = "sha256:" + "c" * 64
    names = ["docker.io/library/a:1", "registry:5000/b:2", "docker.io/library/a:2", f"docker.io/library/a@{digest}"]
    view = ImageView(image=Image(digest=digest, variants=[variant]), names=names)
    assert tags_of(view) == ["a:1", "registry:5000/b:2", "a:2"]
    assert digests_of(view) == [f"a@{digest}", f"registry:5000/b@{digest}"]
    found = inspect_document(view, variant)
    assert (found["Id"], found["Size"], found["Config"]) == (variant.config_digest, 31, {"Cmd": ["sh"]})
    assert choose_variant(view, Platform("linux", "amd64")) == variant
    with pytest.raises(NotFound, match="available: linux/amd64"):
        choose_variant(view, Platform("linux", "riscv64"))


def test_a_configuration_of_any_shape_has_documents() -> None:
    for config in (b"", b"[]", b"{", b'{"history": 5, "config": [], "rootfs": 1, "created": {}}'):
        variant = ImageVariant(config=config)
        view = ImageView(image=Image(variants=[variant]))
        assert inspect_document(view, variant)["Config"] == {}
        assert history(view, variant) == []


def test_changes_of_a_configuration() -> None:
    changes = [
        'CMD ["a", "b"]', "entrypoint run it", "ENV A=1 B='two words'", "ENV OLD some text", "EXPOSE 80 90-91/udp",
        "LABEL x=y", "USER 1000:1000", 'VOLUME ["/v", "/w"]', "WORKDIR /srv", "WORKDIR app", "STOPSIGNAL SIGINT",
        "HEALTHCHECK --interval=5s --retries=3 CMD curl localhost", "ONBUILD RUN x",
    ]  # fmt: skip
    before = {"Env": ["A=0", "C=3"]}
    found = apply_changes(before, changes)
    assert found["Cmd"] == ["a", "b"]
    assert found["Entrypoint"] == ["/bin/sh", "-c", "run it"]
    assert found["Env"] == ["A=1", "C=3", "B=two words", "OLD=some text"]
    assert found["ExposedPorts"] == {"80/tcp": {}, "90/udp": {}, "91/udp": {}}
    assert found["Volumes"] == {"/v": {}, "/w": {}}
    assert (found["WorkingDir"], found["User"], found["Labels"]) == ("/srv/app", "1000:1000", {"x": "y"})
    assert found["Healthcheck"] == {"Test": ["CMD-SHELL", "curl localhost"], "Interval": 5_000_000_000, "Retries": 3}
    assert before == {"Env": ["A=0", "C=3"]}
    with pytest.raises(InvalidInput) as caught:
        apply_changes({}, ["RUN x", "EXPOSE 99999", "USER", "ENV =1"])
    assert len(caught.value.faults) == 4


def test_variables_of_changes_stay_as_they_are_written() -> None:
    found = apply_changes({"Env": ["x=y"], "Shell": ["bash", "-c"]}, ["ENV a=$x b=${x}", "USER $x", "CMD $x"])
    assert (found["Env"], found["User"]) == (["x=y", "a=$x", "b=${x}"], "$x")
    assert found["Cmd"] == ["bash", "-c", "$x"]
