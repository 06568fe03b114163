"""Challenges, tokens, retries and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.distribution.bounded_network import RedirectScope
from shoal.distribution.credentials import Challenge, parse_challenge, parse_challenges
from shoal.distribution.reachability import Reach, may_redirect, reach_of
from shoal.distribution.refusals import refusal
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.tokens import BearerToken, TokenCache, parse_token, token_query
from shoal.errors import InvalidInput, NotFound, PermissionDenied, Unauthenticated, Unavailable


def test_a_bearer_challenge() -> None:
    header = 'Bearer realm="https://auth.example/token",service="r,1",scope="repository:a/b:pull,push",error=x'
    found = parse_challenge(header)
    assert found.scheme == "bearer"
    assert found.parameters["realm"] == "https://auth.example/token"
    assert found.parameters["service"] == "r,1"
    assert token_query(found.parameters, ()) == [("service", "r,1"), ("scope", "repository:a/b:pull,push")]
    assert token_query(found.parameters, ("s:1:pull", "s:2:pull"))[1:] == [("scope", "s:1:pull"), ("scope", "s:2:pull")]


def test_several_challenges() -> None:
    header = 'Basic realm="a, b", charset=UTF-8, Bearer realm = "https://t", scope="x" , Negotiate abc=='
    basic, bearer, negotiate = parse_challenges(header)
    assert basic == Challenge("basic", {"realm": "a, b", "charset": "UTF-8"})
    assert bearer == Challenge("bearer", {"realm": "https://t", "scope": "x"})
    assert negotiate.scheme == "negotiate"
    assert parse_challenge(header) == bearer
    assert parse_challenge("Bearer error=x, Basic realm=r").scheme == "basic"
    assert parse_challenge("Basic" + " " * 9000) == parse_challenge("=") == Challenge("", {})


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("93.184.215.14", Reach.PUBLIC),
        ("2606:4700::1", Reach.PUBLIC),
        ("10.0.0.1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("fd00::1", Reach.PRIVATE),
        ("64:ff9b:1::7f00:1", Reach.PRIVATE),
        ("::7f00:1", Reach.PRIVATE),
        ("127.0.0.2", Reach.LOOPBACK),
        ("0.0.0.0", Reach.LOOPBACK),
        ("::", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("64:ff9b::a9fe:a9fe", Reach.FORBIDDEN),
        ("2002:7f00:1::1", Reach.LOOPBACK),
        ("169.254.1.1", Reach.LINK_LOCAL),
        ("fe80::1%lo", Reach.LINK_LOCAL),
        ("169.254.169.254", Reach.FORBIDDEN),
        ("224.0.0.1", Reach.FORBIDDEN),
        ("255.255.255.255", Reach.FORBIDDEN),
    ],
)
def test_who_is_reached_at_an_address(address: str, reach: Reach) -> None:
    assert reach_of(address) is reach
    assert may_redirect(Reach.PUBLIC, reach) is (reach is Reach.PUBLIC)
    assert may_redirect(Reach.LOOPBACK, reach) is (reach in (Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK))


def test_a_name_that_changes_its_address_leads_nowhere_more() -> None:
    scope = RedirectScope("evil.example", 443)
    assert not scope.allows("inside.example", 80, "10.0.0.1")
    scope.record_connection("evil.example", 443, "10.0.0.5")
    scope.record_connection("evil.example", 443, "93.184.215.14")
    scope.record_connection("evil.example", 443, "10.0.0.5")
    scope.record_connection("other.example", 443, "10.0.0.5")
    assert not scope.allows("inside.example", 80, "10.0.0.1")
    assert scope.allows("cdn.example", 443, "93.184.215.15")


@given(st.text())
def test_any_header_is_taken(header: str) -> None:
    parse_challenge(header)


def test_tokens_are_used_until_they_run_out() -> None:
    cache, scopes = TokenCache(), ("repository:a:pull",)
    cache.put(scopes, parse_token(b'{"access_token": "t", "expires_in": 100}', 10.0, realm="r"))
    assert cache.get(scopes, 80.0) == "t"
    assert cache.get(scopes, 95.0) is None
    cache.put(scopes, BearerToken("new", 200.0))
    cache.drop(scopes, "Bearer t")
    assert cache.get(scopes, 95.0) == "new"
    cache.drop(scopes, "Bearer new")
    assert cache.get(scopes, 95.0) is None


@pytest.mark.parametrize(
    ("reported", "kept"), [("1", 48.0), ("-5", 48.0), ("300", 240.0), ("1e999", 2880.0), ('"9e9"', 2880.0)]
)
def test_the_time_that_a_token_is_kept_is_bounded(reported: str, kept: float) -> None:
    assert parse_token(b'{"token": "t", "expires_in": %s}' % reported.encode(), 0.0, realm="r").expires == kept


def test_tokens_of_a_few_repositories_are_kept() -> None:
    cache = TokenCache()
    for number in range(1000):
        cache.put((f"repository:{number}:pull",), BearerToken("t", 10.0))
    assert cache.get(("repository:999:pull",), 0.0) and cache.get(("repository:744:pull",), 0.0)
    assert not cache.get(("repository:743:pull",), 0.0)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nX: y"}'])
def test_answers_without_a_token(content: bytes) -> None:
    with pytest.raises(Unauthenticated):
        parse_token(content, 0.0, realm="https://r")


@given(st.integers(1, 50), st.text(alphabet="0123456789x", max_size=6))
def test_no_wait_is_longer_than_the_longest(failures: int, retry_after: str) -> None:
    policy = RetryPolicy(max_seconds=7.0)
    assert 0 <= policy.delay(failures, retry_after) <= 7.0 * 1.25


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Unauthenticated),
        (403, PermissionDenied),
        (404, NotFound),
        (429, Unavailable),
        (503, Unavailable),
        (400, InvalidInput),
    ],
)
def test_refusals_are_one_line(status: int, kind: type[Exception]) -> None:
    body = b'{"errors": [{"code": "X", "message": "two\\nlines"}]}'
    error = refusal(status, body, what="r:5000/a:1", host="r:5000")
    assert type(error) is kind
    assert "r:5000/a:1" in str(error) and "\n" not in str(error)
    assert refusal(status, b"<html>", what="w", host="h")
