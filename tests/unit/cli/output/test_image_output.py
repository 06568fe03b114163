"""Rows of images, bars of layers, and Docker's units."""

import json

import pytest

from cli.commands.image.image_inspect import history_row
from cli.commands.image.image_listing import rows, tree_lines
from cli.render import layer_bars
from cli.render.layer_bars import PULLING, LayerBars, layer_line
from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.meta_pb2 import Platform
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.docker_units import docker_age, docker_size
from shoal.images.image_documents import HistoryStep
from shoal.images.progress import LayerProgress, LayerState

DIGEST = "sha256:" + "ab" * 32
DAY = 86_400


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1234, "1.23kB"), (187_654_321, "188MB"), (2_500_000_000, "2.5GB")],
)
def test_sizes_are_as_in_docker(amount: int, text: str) -> None:
    assert docker_size(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (13 * DAY, "13 days"),
        (15 * DAY, "2 weeks"),
        (70 * DAY, "2 months"),
        (800 * DAY, "2 years"),
    ],
)
def test_ages_are_as_in_docker(seconds: int, text: str) -> None:
    assert docker_age(seconds) == text


def test_an_image_has_a_row_for_each_name() -> None:
    config = json.dumps({"created": "2026-01-01T00:00:00Z"}).encode()
    variant = ImageVariant(config=config, config_digest=DIGEST, stored_bytes=5_000_000)
    view = ImageView(image=Image(digest=DIGEST, variants=[variant]))
    (row,) = rows(view, 1_767_225_600 + 15 * DAY)
    assert (row["repository"], row["tag"], row["created"], row["size"]) == ("<none>", "<none>", "2 weeks ago", "5MB")
    view.names[:] = ["docker.io/library/web:1", f"registry:5000/web@{DIGEST}"]
    found = list(rows(view, 0))
    assert [(each["repository"], each["tag"]) for each in found] == [("web", "1"), ("registry:5000/web", "<none>")]
    only_on_nodes = next(rows(ImageView(image=Image(digest=DIGEST), node_ids=["n1"]), 0))
    assert (only_on_nodes["image_id"], only_on_nodes["size"], only_on_nodes["created"]) == (DIGEST, "N/A", "N/A")


def test_platforms_are_listed_as_a_tree() -> None:
    variants = [
        ImageVariant(platform=Platform(os="linux", architecture=each), config_digest=DIGEST, stored_bytes=2_000)
        for each in ("amd64", "arm64")
    ]
    view = ImageView(image=Image(digest="sha256:" + "cd" * 32, variants=variants), names=["docker.io/library/web:1"])
    assert tree_lines([view, ImageView(image=Image(digest=DIGEST))]) == [
        "IMAGE            ID             SIZE",
        "web:1            cdcdcdcdcdcd   4kB",
        "├─ linux/amd64   abababababab   2kB",
        "└─ linux/arm64   abababababab   2kB",
        "<untagged>       abababababab   N/A",
    ]


def test_a_step_of_a_history() -> None:
    step = HistoryStep(DIGEST, "2026-01-01T00:00:00.123456789Z", "RUN  a\n b" + "x" * 60, 1234, "c", ())
    row = history_row(step, 1_767_225_601 + 3 * DAY, human=True, no_trunc=False)
    assert (row["image"], row["created"], row["size"]) == ("ab" * 6, "3 days ago", "1.23kB")
    assert len(str(row["created_by"])) == 45 and str(row["created_by"]).startswith("RUN a b")
    whole = history_row(step, 0, human=False, no_trunc=True)
    assert (whole["image"], whole["size"], whole["created"]) == (DIGEST, 1234, step.created)
    assert history_row(HistoryStep("<missing>", "", "", 0, "", ()), 0, human=True, no_trunc=False)["created"] == "N/A"


def test_a_layer_in_one_line() -> None:
    half = layer_line(LayerProgress(DIGEST, LayerState.TRANSFERRING, 50, 100), PULLING)
    assert half == f"abababababab: Downloading [{'=' * 25}>{' ' * 25}]  50B/100B"
    full = layer_line(LayerProgress(DIGEST, LayerState.TRANSFERRING, 100, 100), PULLING)
    assert full.count("=") == 51
    assert layer_line(LayerProgress(DIGEST, LayerState.DONE), PULLING) == "abababababab: Pull complete"
    assert layer_line(LayerProgress(DIGEST, LayerState.COMPRESSING), PULLING) == "abababababab: Compressing"


def test_elsewhere_than_on_a_terminal_a_layer_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with LayerBars(PULLING) as bars:
        for state in (LayerState.WAITING, LayerState.TRANSFERRING, LayerState.DONE, LayerState.DONE):
            bars(LayerProgress(DIGEST, state, 1, 2))
    assert capsys.readouterr().err == "abababababab: Pull complete\n"
    with LayerBars(PULLING, quiet=True) as bars:
        bars(LayerProgress(DIGEST, LayerState.DONE))
    assert capsys.readouterr().err == ""


def test_bars_are_drawn_over_each_other_but_not_too_often(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_bars, "is_interactive", lambda _: True)
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "120")
    now = [0.0]
    with LayerBars(PULLING, clock=lambda: now[0]) as bars:
        for number in range(1000):
            now[0] = number / 1000
            bars(LayerProgress(DIGEST, LayerState.TRANSFERRING, number, 1000))
    drawn = capsys.readouterr().err
    assert 10 <= drawn.count("Downloading") <= 12
    with LayerBars(PULLING, clock=lambda: 0.0) as bars:
        for number in range(50):
            bars(LayerProgress(f"sha256:{number:064x}", LayerState.DONE if number % 2 else LayerState.WAITING))
    last = capsys.readouterr().err
    assert "25 of 50 layers done" in last
    assert last.rpartition("\x1b[1A")[2].count("\n") < 10
