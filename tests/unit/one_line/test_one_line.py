"""Text from elsewhere, as one line."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.api.v1.task_pb2 import TaskStatus
from shoal.one_line import one_line


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=2000), st.sampled_from([2, 60, 500]))
def test_a_line_is_short_and_printable(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit and line.isprintable() and "  " not in line
    assert line.encode().decode() == line


def test_white_space_is_joined_and_what_cannot_be_decoded_is_marked() -> None:
    assert one_line("two\n lines\x1b[2J of \udcff\ud800") == "two lines [2J of ??"
    TaskStatus(message=one_line("\udcff"))


def test_what_is_too_long_is_cut_visibly() -> None:
    assert one_line("a" * 500) == "a" * 500
    assert one_line("a" * 501) == "a" * 498 + " …"
    assert one_line("a" + " " * 10_000, 60) == "a …"
