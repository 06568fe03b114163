"""Challenges, tokens, retries and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.distribution.answers import refusal
from shoal.distribution.credentials import parse_challenge
from shoal.distribution.retrying import RetryPolicy
from shoal.distribution.tokens import Token, TokenCache, parse_token, token_query
from shoal.errors import InvalidInput, NotFound, PermissionDenied, Unauthenticated, Unavailable


def test_a_bearer_challenge() -> None:
    header = 'Bearer realm="https://auth.example/token",service="r,1",scope="repository:a/b:pull,push",error=x'
    found = parse_challenge(header)
    assert found.scheme == "bearer"
    assert found.parameters["realm"] == "https://auth.example/token"
    assert found.parameters["service"] == "r,1"
    assert token_query(found.parameters, ()) == [("service", "r,1"), ("scope", "repository:a/b:pull,push")]
    assert token_query(found.parameters, ("s:1:pull", "s:2:pull"))[1:] == [("scope", "s:1:pull"), ("scope", "s:2:pull")]


@given(st.text())
def test_any_header_is_taken(header: str) -> None:
    parse_challenge(header)


def test_tokens_are_used_until_they_run_out() -> None:
    cache, scopes = TokenCache(), ("repository:a:pull",)
    cache.put(scopes, parse_token(b'{"access_token": "t", "expires_in": 100}', 10.0, realm="r"))
    assert cache.get(scopes, 80.0) == "t"
    assert cache.get(scopes, 95.0) is None
    cache.put(scopes, Token("new", 200.0))
    cache.drop(scopes, "Bearer t")
    assert cache.get(scopes, 95.0) == "new"
    cache.drop(scopes, "Bearer new")
    assert cache.get(scopes, 95.0) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nX: y"}'])
def test_answers_without_a_token(content: bytes) -> None:
    with pytest.raises(Unauthenticated):
        parse_token(content, 0.0, realm="https://r")


@given(st.integers(1, 50), st.text(alphabet="0123456789x", max_size=6))
def test_no_wait_is_longer_than_the_longest(failures: int, retry_after: str) -> None:
    policy = RetryPolicy(longest_seconds=7.0)
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
