"""What a registry says, as bytes: each target takes any, and checks what the parser promises."""

import math

import httpx

from shoal.distribution.content_range import range_start
from shoal.distribution.credentials import parse_challenge, parse_challenges
from shoal.distribution.origins import named_url, origin_of, with_query
from shoal.distribution.reachability import Reach, literal_reach, may_redirect, reach_of
from shoal.distribution.refusals import foreign_refusal, refusal
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.tokens import MAX_LIFETIME_SECONDS, MAX_TOKEN_LENGTH, parse_token, token_query
from shoal.errors import InvalidInput, Unauthenticated

EXAMPLES = (
    b'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
    b'Basic realm="Registry \\"1\\"", charset="UTF-8", Bearer realm=https://a/t, Negotiate abc==',
    b"https://storage.example:8443/b?X-Amz-Signature=abc%2F&X-Amz-Expires=1200#f",
    b"//user:password@[fe80::1%25eth0]:65536/../..?a=b&&c",
    b"/v2/a/blobs/uploads/1f?_state=aGVsbG8%3D",
    b"http://\xe2\x98\x83.example:80/\xff",
    b"https://s:-1",
    b"https://s:0",
    b"bytes 50-99/100",
    b'{"token": "abc", "access_token": "def", "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}',
    b'{"token": "abc", "expires_in": 1e999}',
    b'{"errors": [{"code": "DENIED", "message": "no \\u001b[2J", "detail": [{}]}, 1, null]}',
    b"169.254.169.254",
    b"::ffff:127.0.0.1",
    b"120",
)
_BASES = (httpx.URL("https://registry.example/v2/a/blobs/x"), httpx.URL("http://[::1]:5000/v2/"))
_DIGEST = "sha256:" + "0" * 64


def fuzz_challenge(data: bytes) -> None:
    """`WWW-Authenticate`: any header is taken, and nothing comes out that was not in it."""
    header = data.decode("latin-1")
    found = parse_challenges(header)
    assert parse_challenge(header) in (*found, parse_challenge(""))
    for each in found:
        assert each.scheme == each.scheme.lower() and each.scheme
        for name, value in token_query(each.parameters, ()):
            assert name in ("service", "scope") and len(value) <= len(header)


def fuzz_location(data: bytes) -> None:
    """`Location`, of reads and of uploads, and realms: an origin that stays the same however it is written again."""
    text = data.decode("utf-8", "surrogateescape")
    for base in (None, *_BASES):
        try:
            url = named_url(text, base)
        except InvalidInput as error:
            assert str(error).isprintable()
            continue
        assert url.scheme in ("http", "https") and not url.userinfo
        origin = origin_of(url)
        assert origin.host and 0 <= origin.port < 1 << 16 and str(origin).isprintable()
        assert origin_of(named_url(str(url))) == origin
        longer = _BASES[0].join(with_query(str(url), "digest", _DIGEST))
        assert origin_of(longer) == origin and longer.params.get_list("digest")[-1] == _DIGEST
        assert url.raw_path.isascii() and not set(url.raw_path) & set(b" \r\n\0")


def fuzz_address(data: bytes) -> None:
    """Hosts and addresses: an IPv4 address is the same however it is wrapped, and none leads inward."""
    reach = literal_reach(data.decode("latin-1"))
    assert reach is None or not may_redirect(Reach.PUBLIC, reach) or reach is Reach.PUBLIC
    padded = data[:16].ljust(16, b"\0")
    plain = reach_of(".".join(map(str, padded[:4])))
    assert reach_of("::ffff:" + ".".join(map(str, padded[:4]))) is plain
    assert reach_of(f"64:ff9b::{padded[0]:x}{padded[1]:02x}:{padded[2]:x}{padded[3]:02x}") is plain
    groups = ":".join(padded[at : at + 2].hex() for at in range(0, 16, 2))
    assert isinstance(reach_of(groups), Reach)


def fuzz_content_range(data: bytes) -> None:
    """`Content-Range`: only a range to the blob's end, and only of its size."""
    header = data.decode("latin-1")
    for size in (1, 100, 1 << 40):
        start = range_start(header, size)
        assert start is None or (0 <= start < size and f"{size - 1}" in header)


def fuzz_token(data: bytes) -> None:
    """A token server's answer: a token that can stand in a header and is kept for a time that ends, or an error."""
    try:
        token = parse_token(data, 0.0, realm="https://auth.example/token")
    except Unauthenticated as error:
        assert str(error).isprintable()
        return
    assert token.text.isascii() and token.text.isprintable() and 0 < len(token.text) <= MAX_TOKEN_LENGTH
    assert math.isfinite(token.expires) and 0 < token.expires <= MAX_LIFETIME_SECONDS


def fuzz_refusal(data: bytes) -> None:
    """A refusal: one line for the user, of bounded length, without what a terminal obeys."""
    for status in (400, 401, 403, 404, 429, 500):
        text = str(refusal(status, data, what="registry.example/a:1", host="registry.example"))
        assert text.isprintable() and len(text) < 500
        assert foreign_refusal(status, what="a", host="b", registry="c")


def fuzz_retry_after(data: bytes) -> None:
    """`Retry-After`: never longer than the policy's longest."""
    policy = RetryPolicy(max_seconds=7.0)
    assert 0 <= policy.delay(3, data.decode("latin-1")) <= 7.0 * 1.25
