"""Answers of managers are kept while their view holds, and within a bound."""

from shoal.api.v1.control_pb2 import ListNetworksResponse
from shoal.manager_calls.read_cache import ReadCache, naming
from shoal.rpc.conditional_reads import UNCHANGED_KEY, VIEW_KEY

EMPTY = ListNetworksResponse()


def answer(name: str = "front") -> ListNetworksResponse:
    found = ListNetworksResponse()
    found.networks.add().network.spec.name = name
    return found


def test_an_answer_holds_until_another_one_comes() -> None:
    kept, key = ReadCache(), ("/a", b"", ())
    assert (kept.get(key), naming(None)) == (None, ())
    first = kept.update(key, None, answer(), ((VIEW_KEY, "v1"),))
    assert kept.get(key) is first
    assert naming(first) == (("shoal-known-view", "v1"),)
    assert kept.update(key, first, EMPTY, ((VIEW_KEY, b"v1"), (UNCHANGED_KEY, "1"))) is first
    second = kept.update(key, first, answer("back"), ((VIEW_KEY, "v2"),))
    assert (second.view, kept.get(key)) == ("v2", second)
    assert kept.get(("/a", b"", (("shoal-on-behalf", "eve"),))) is None


def test_what_is_of_no_view_is_not_kept() -> None:
    kept, key = ReadCache(), ("/a", b"", ())
    first = kept.update(key, None, answer(), ((VIEW_KEY, "v1"),))
    assert kept.update(key, first, answer("back"), ()).message == answer("back")
    assert kept.get(key) is None


def test_the_ones_that_were_used_last_are_kept() -> None:
    size = answer().ByteSize()
    kept, keys = ReadCache(max_bytes=2 * size), [(name, b"", ()) for name in "abc"]
    for key in keys[:2]:
        kept.update(key, None, answer(), ((VIEW_KEY, "v1"),))
    assert kept.get(keys[0])
    kept.update(keys[2], None, answer(), ((VIEW_KEY, "v1"),))
    assert [kept.get(key) is not None for key in keys] == [True, False, True]
    kept.update(keys[1], None, answer("x" * 3 * size), ((VIEW_KEY, "v1"),))
    assert [kept.get(key) is not None for key in keys] == [True, False, True], "too large for itself"
