"""The parsers of what registries say, with damaged examples of what they say in earnest.

Bound: 150 cases of each target in a run, each within 200 ms of processor time. `tests/fuzz/registry.py` has the
targets.
"""

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import registry

TARGETS: dict[str, Callable[[bytes], None]] = {
    name: target for name, target in vars(registry).items() if name.startswith("fuzz_")
}
PROCESSOR_SECONDS = 0.2
EXAMPLES = (
    b'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
    b'Basic realm="Registry \\"1\\"", charset="UTF-8", Bearer realm=https://a/t, Negotiate abc==',
    b"https://storage.example:8443/b?X-Amz-Signature=abc%2F&X-Amz-Expires=1200#f",
    b"//user:password@[fe80::1%25eth0]:65536/../..?a=b&&c",
    b"/v2/a/blobs/uploads/1f?_state=aGVsbG8%3D",
    b"http://\xe2\x98\x83.example:80/\xff",
    b"bytes 50-99/100",
    b'{"token": "abc", "access_token": "def", "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}',
    b'{"token": "abc", "expires_in": 1e999}',
    b'{"errors": [{"code": "DENIED", "message": "no \\u001b[2J", "detail": [{}]}, 1, null]}',
    b"169.254.169.254",
    b"::ffff:127.0.0.1",
    b"120",
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An example with a few places overwritten, doubled or cut out."""
    content = bytearray(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["overwrite", "insert", "cut", "double"])):
            case "overwrite":
                piece = draw(st.binary(min_size=1, max_size=4))
                content[at : at + len(piece)] = piece
            case "insert":
                content[at:at] = draw(st.sampled_from(EXAMPLES) | st.binary(max_size=8))
            case "cut":
                del content[at : at + draw(st.integers(1, 8))]
            case _:
                content[at:at] = content[at : at + 16] * draw(st.integers(1, 60))
    return bytes(content)


@pytest.mark.parametrize("target", sorted(TARGETS))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=damaged() | st.binary(max_size=200))
def test_any_bytes_are_taken(target: str, data: bytes) -> None:
    before = time.thread_time()
    TARGETS[target](data)
    assert time.thread_time() - before < PROCESSOR_SECONDS
