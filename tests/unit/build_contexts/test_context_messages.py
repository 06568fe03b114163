"""Messages about contexts are of bounded size, and the last one of each kind says that it is."""

import pytest

from shoal.api.v1.builds_pb2 import BuildInput, ContextContent, ContextEntry
from shoal.build_contexts.context_keys import image_context_key
from shoal.build_contexts.context_messages import (
    DATA_BYTES,
    DIGESTS_AT_ONCE,
    ENTRIES_AT_ONCE,
    LIST_BYTES,
    ContextMessages,
)


def listed(entries: list[ContextEntry]) -> list[BuildInput]:
    messages = ContextMessages("base", "k")
    return [message for each in entries for message in messages.add_entry(each)] + [messages.end_entries()]


def sent(contents: list[ContextContent]) -> list[BuildInput]:
    messages = ContextMessages("base", "k")
    return [message for each in contents for message in messages.add_content(each)] + [messages.end_contents()]


def test_every_message_of_a_list_names_the_context_and_the_last_one_ends_it() -> None:
    messages = listed([ContextEntry(path=b"%d" % number) for number in range(2 * ENTRIES_AT_ONCE + 1)])
    assert [len(each.listing.entries) for each in messages] == [ENTRIES_AT_ONCE, ENTRIES_AT_ONCE, 1]
    assert [each.listing.complete for each in messages] == [False, False, True]
    assert {(each.listing.name, each.listing.key) for each in messages} == {("base", "k")}
    assert [entry.path for each in messages for entry in each.listing.entries][-1] == b"%d" % (2 * ENTRIES_AT_ONCE)


@pytest.mark.parametrize("entry", [ContextEntry(path=b"p" * 4000), ContextEntry(path=b"p", link=b"l" * 4000)])
def test_long_names_make_shorter_lists(entry: ContextEntry) -> None:
    messages = listed([entry] * 1000)
    assert sum(len(each.listing.entries) for each in messages) == 1000
    assert len(messages) > 2 and all(each.ByteSize() < LIST_BYTES + 8000 for each in messages)


def test_an_empty_context_is_an_empty_list() -> None:
    assert [(len(each.listing.entries), each.listing.complete) for each in listed([])] == [(0, True)]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, [0]), (1, [1]), (DIGESTS_AT_ONCE, [DIGESTS_AT_ONCE]), (DIGESTS_AT_ONCE + 2, [DIGESTS_AT_ONCE, 2])],
)
def test_digests_are_those_of_the_numbers_in_their_order(count: int, sizes: list[int]) -> None:
    messages = list(ContextMessages("base", "k").digests(range(count), lambda number: b"%d" % number))
    assert [len(each.digests.digests) for each in messages] == sizes
    assert [each.digests.complete for each in messages] == [False] * (len(sizes) - 1) + [True]
    assert [digest for each in messages for digest in each.digests.digests] == [b"%d" % each for each in range(count)]


def test_contents_are_sent_once_they_fill_a_message() -> None:
    half = ContextContent(number=1, data=b"x" * (DATA_BYTES // 2))
    messages = sent([half, half, ContextContent(number=1, complete=True)])
    assert [len(each.contents.contents) for each in messages] == [2, 1]
    assert [each.contents.complete for each in messages] == [False, True]
    assert messages[-1].contents.contents[0].complete and messages[-1].contents.name == "base"


def test_many_empty_files_make_several_messages() -> None:
    messages = sent([ContextContent(number=number, complete=True) for number in range(DATA_BYTES)])
    assert len(messages) > 2 and all(each.ByteSize() < 2 * DATA_BYTES for each in messages)


def test_an_image_has_one_key_whatever_its_tag() -> None:
    assert image_context_key("web:1") == image_context_key("docker.io/library/web:2") != image_context_key("api:1")
