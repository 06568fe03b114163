"""Lines about the layers of a transfer, in Docker's words."""

from typing import Any

from engine.handlers.images.progress_stream import PULLING, PUSHING, LayerLines, TransferWords
from shoal.distribution.manifests import OCI_CONFIG, Descriptor
from shoal.images.progress import LayerProgress, LayerState, report_blob

DIGEST = "sha256:" + "ab" * 32
STATES = (LayerState.WAITING, LayerState.TRANSFERRING, LayerState.DONE)


def words_of(words: TransferWords, *states: LayerState) -> list[str]:
    lines: list[dict[str, Any]] = []
    emit = LayerLines(lines.append, words)
    for state in states:
        emit(LayerProgress(DIGEST, state, 1, 2))
    assert {line["id"] for line in lines} <= {"ab" * 6}
    return [line["status"] for line in lines]


def test_a_layer_that_is_pulled_begins_arrives_and_ends() -> None:
    assert words_of(PULLING, *STATES) == ["Pulling fs layer", "Downloading", "Download complete", "Pull complete"]
    assert words_of(PULLING, LayerState.WAITING, LayerState.EXISTS) == ["Already exists"]
    assert words_of(PULLING, LayerState.WAITING, LayerState.DONE)[0] == "Pulling fs layer"


def test_a_layer_that_is_pushed_waits_before() -> None:
    assert words_of(PUSHING, *STATES) == ["Preparing", "Pushing", "Pushed"]
    assert words_of(PUSHING, LayerState.WAITING, LayerState.EXISTS) == ["Preparing", "Layer already exists"]


def test_configurations_are_no_layers() -> None:
    found: list[LayerProgress] = []
    report_blob(found.append, Descriptor(OCI_CONFIG, DIGEST, 9), LayerState.DONE, 9)
    assert found == []
    layer = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", DIGEST, 9)
    report_blob(found.append, layer, LayerState.DONE, 9)
    assert found == [LayerProgress(DIGEST, LayerState.DONE, 9, 9)]
