"""What calls ask for: the newest revision of the last minute."""

import pytest

from shoal.errors import InvalidInput
from shoal.manager_calls.newest_revision import REMEMBERED_SECONDS, NewestRevision
from shoal.rpc.read_revisions import MIN_REVISION_KEY, REVISION_KEY, min_revision, reported_revision


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_is_asked_for_whatever_comes_later() -> None:
    newest = NewestRevision(Clock())
    assert newest.metadata() == ()
    for reported in ("7", "9", "8"):
        newest.update(((REVISION_KEY, reported),))
    newest.update(())
    assert newest.metadata() == ((MIN_REVISION_KEY, "9"),)


def test_after_a_minute_a_lower_one_is_taken_again() -> None:
    clock = Clock()
    newest = NewestRevision(clock)
    newest.update(((REVISION_KEY, "900"),))
    clock.now += REMEMBERED_SECONDS - 1
    newest.update(((REVISION_KEY, "5"),))
    assert newest.metadata() == ((MIN_REVISION_KEY, "900"),), "the lower one does not prolong it"
    clock.now += 1
    assert newest.metadata() == ()
    newest.update(((REVISION_KEY, "5"),))
    assert newest.metadata() == ((MIN_REVISION_KEY, "5"),)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "²", "1" * 20])
def test_what_is_no_number_is_refused_of_calls_and_ignored_of_answers(text: str) -> None:
    with pytest.raises(InvalidInput):
        min_revision(((MIN_REVISION_KEY, text),))
    assert reported_revision(((REVISION_KEY, text),)) == 0


def test_calls_may_ask_for_nothing() -> None:
    assert min_revision((("other", "5"),)) == 0
    assert min_revision(((MIN_REVISION_KEY, b"5"),)) == 5
