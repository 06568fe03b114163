"""Small parts: log lines, moments, texts of failures, commands, home node, compression, file modes, events."""

import bz2
import gzip
import io
import lzma
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cluster.home_node import NONE, home_node
from engine.protocol.decompression import Decompression
from engine.protocol.docker_texts import start_failure, start_failure_code
from engine.protocol.errors import ApiError, status_of
from engine.translate.containers.container_mounts import has_host_paths
from engine.translate.containers.container_ports import bound_ports, listed_ports
from engine.translate.events import event_document, event_filter
from engine.translate.fields import Fields
from engine.translate.prune_filters import moment_ms, prune_filters
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.control_pb2 import NodeView
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.errors import NotFound, Refused, Unavailable


def test_moments_are_seconds_times_or_durations() -> None:
    assert moment_ms("1795471598.5", 0) == 1_795_471_598_500
    assert moment_ms("2026-11-23T22:11:27Z", 0) == 1_795_471_887_000
    assert moment_ms("10m", 1_000_000) == 400_000
    with pytest.raises(ApiError, match="failed to parse value as time or duration"):
        moment_ms("yesterday", 0)
    assert prune_filters({"until": ["1s"], "label": ["a"]}, ("until", "label"), now_ms=5000) == {
        "until": ["4000"],
        "label": ["a"],
    }


@pytest.mark.parametrize(
    ("text", "status", "words", "code"),
    [
        ('container "c" cannot start: x: no such file in the image', 400, "executable file not found in $PATH", 127),
        ('container "c" cannot start: /etc: is a directory', 400, "is a directory", 126),
        ('container "c" cannot start: x: not executable', 400, "permission denied", 126),
        ('container "c" cannot start: port 80/tcp is taken by service web', 500, "port is already allocated", 125),
        (
            'container "c" cannot start: spec.command: x: no such file in the image',
            400,
            'exec: "x": executable file not found in $PATH: unknown',
            127,
        ),
        ('container "c" cannot start: spec.command: /etc: not executable', 400, 'exec: "/etc": permission denied', 126),
        ('container "c" cannot start: no memory', 500, "no memory", 125),
    ],
)
def test_failures_of_a_start_have_the_words_that_clients_look_for(
    text: str, status: int, words: str, code: int
) -> None:
    error = start_failure(Refused(text))
    assert (status_of(error), words in str(error)) == (status, True)
    assert start_failure_code(text) == code
    unavailable = Unavailable("node h1 is down")
    assert start_failure(unavailable) is unavailable
    assert status_of(unavailable) == 503
    assert status_of(NotFound("x")) == 404


def node(hostname: str, address: str) -> NodeView:
    view = NodeView()
    view.node.meta.id = f"id-{hostname}"
    view.node.spec.identity.hostname, view.node.spec.identity.address = hostname, address
    return view


def test_the_home_node_is_named_or_has_an_address_of_this_host() -> None:
    nodes = [node("h1", "192.0.2.1"), node("h2", "192.0.2.2")]
    assert home_node(nodes, "h2") is nodes[1]
    assert home_node(nodes, "id-h1") is nodes[0]
    assert home_node(nodes, "", lambda address: address == "192.0.2.2") is nodes[1]
    assert home_node(nodes, "", lambda _: False) is None
    assert home_node(nodes, NONE, lambda _: True) is None


@settings(max_examples=30)
@given(st.binary(max_size=3000), st.sampled_from(["plain", "gzip", "bzip2", "xz"]), st.integers(1, 700))
def test_archives_are_decompressed_as_they_come(content: bytes, kind: str, size: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    plain = buffer.getvalue()
    forms = {"plain": plain, "gzip": gzip.compress(plain), "bzip2": bz2.compress(plain), "xz": lzma.compress(plain)}
    packed, decompression, found = forms[kind], Decompression(), list[bytes]()
    for start in range(0, len(packed), size):
        found += decompression.feed(packed[start : start + size])
    assert b"".join(found + decompression.finish()) == plain


def test_damaged_archives_are_refused() -> None:
    with pytest.raises(ApiError, match="invalid archive"):
        Decompression().feed(b"\x1f\x8bnonsense" * 10)


def test_ports_of_a_listing_are_addresses_and_what_is_exposed_only() -> None:
    mesh = [PublishedPort(protocol=PublishedPort.TCP, target=80, published=8080)]
    ports = [*mesh, PublishedPort(protocol=PublishedPort.UDP, target=53)]
    bound = bound_ports(ports, mesh=mesh, of_task=[])
    assert bound["80/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
    rows = listed_ports(bound, ["443/tcp"])
    assert [(row["PrivatePort"], row.get("PublicPort")) for row in rows] == [
        (53, None),
        (80, 8080),
        (80, 8080),
        (443, None),
    ]


def test_paths_of_hosts_are_told_apart_from_volumes() -> None:
    assert has_host_paths([Mount(type=Mount.BIND)])
    assert not has_host_paths([Mount(type=Mount.VOLUME), Mount(type=Mount.TMPFS)])


def test_events_have_dockers_form() -> None:
    event = Event(type="container", action="die", id="3vq1xz7p9k2mn", name="c1", at_ms=1_795_471_815_462)
    event.attributes.update({"image": "alpine", "exitCode": "0", "a": "b"})
    document = event_document(event)
    assert document is not None
    assert (document["status"], document["from"], document["scope"]) == ("die", "alpine", "local")
    assert document["Actor"]["Attributes"] == {"image": "alpine", "exitCode": "0", "a": "b", "name": "c1"}
    assert (document["time"], document["timeNano"]) == (1_795_471_815, 1_795_471_815_462_000_000)
    assert len(document["id"]) == 64
    assert event_filter({"type": ["container"], "label": ["a=b"], "event": ["die"]})(document)
    assert event_filter({"container": ["c1"], "image": ["alpine"]})(document)
    assert not event_filter({"container": ["c2"]})(document)
    removed = event_document(Event(type="volume", action="remove", id="3vq1xz7p9k2mn", name="data"))
    assert removed is not None
    assert (removed["Action"], removed["Actor"]["ID"]) == ("destroy", "data")
    assert event_document(Event(type="task", action="running")) is None
    with pytest.raises(ApiError, match="invalid filter 'colour'"):
        event_filter({"colour": ["red"]})


def test_keys_are_found_in_any_case_as_go_finds_them() -> None:
    fields = Fields({"detachKeys": "ctrl-p", "HostConfig": {"memory": 7}, "CMD": ["a"], "user": "x", "User": "y"})
    assert fields.text("DetachKeys") == "ctrl-p"
    assert fields.nested("hostconfig").number("Memory") == 7
    assert fields.texts("Cmd") == ["a"]
    assert fields.text("User") == "y"
    assert not fields.has("Tty")
