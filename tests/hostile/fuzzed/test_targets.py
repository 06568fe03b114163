"""Every parser that outside input reaches, on examples and on damaged ones.

Bound: each case within 500 ms of processor time. `make fuzz` runs the same targets for an hour.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import FuzzTarget, targets

CASES = 120
PROCESSOR_SECONDS = 0.5
TARGETS = [each for each in targets() if not each.name.startswith("layers.")]
"""`tests/hostile/layers/test_fuzz.py` has cases of its own for those of layers."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Of garbage of all tests before, which takes as long as a case may, and longer."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@st.composite
def damaged(draw: st.DrawFn, examples: tuple[bytes, ...]) -> bytes:
    """An example with a few places overwritten, doubled or cut out."""
    content = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["overwrite", "insert", "cut", "double"])):
            case "overwrite":
                piece = draw(st.binary(min_size=1, max_size=4))
                content[at : at + len(piece)] = piece
            case "insert":
                content[at:at] = draw(st.sampled_from(examples) | st.binary(max_size=8))
            case "cut":
                del content[at : at + draw(st.integers(1, 8))]
            case _:
                content[at:at] = content[at : at + 16] * draw(st.integers(1, 60))
    return bytes(content)


def inputs(target: FuzzTarget) -> st.SearchStrategy[bytes]:
    """Any bytes, and damaged examples where there are some."""
    anything = st.binary(max_size=400)
    return damaged(tuple(target.examples)) | anything if target.examples else anything


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_examples_are_taken(target: FuzzTarget) -> None:
    for example in target.examples:
        target.run(example)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@settings(max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes_are_taken(target: FuzzTarget, data: st.DataObject) -> None:
    content = data.draw(inputs(target))
    with no_collection():
        before = time.thread_time()
        target.run(content)
        assert time.thread_time() - before < PROCESSOR_SECONDS
