"""Ids: their form, and that every character can stand at every place."""

from shoal.ids import ALPHABET, LENGTH, is_id, new_id

ENOUGH = 3_000
"""Of so many ids, one lacks a character at some place with a chance of less than one in 10^38."""


def test_ids_use_all_their_characters_and_differ() -> None:
    found = {new_id() for _ in range(ENOUGH)}
    assert len(found) == ENOUGH
    assert all(map(is_id, found))
    for place in range(LENGTH):
        assert {text[place] for text in found} == set(ALPHABET)


def test_what_is_no_id() -> None:
    assert not is_id("")
    assert not is_id("0" * (LENGTH - 1))
    assert not is_id("u" * LENGTH)
