"""Lines: directives, comments, continuations, here-documents."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.lines import MAX_LINES, LogicalLine, read_directives, read_lines
from shoal.dockerfile.source import FaultList, excerpt
from shoal.errors import InvalidInput


def lines_of(text: str, escape: str = "\\") -> list[LogicalLine]:
    faults = FaultList()
    found = list(read_lines(text, escape, faults))
    faults.raise_any()
    return found


def texts_of(text: str, escape: str = "\\") -> list[str]:
    return [line.text for line in lines_of(text, escape)]


def messages_of(text: str) -> list[str]:
    faults = FaultList()
    directives = read_directives(text, faults)
    list(read_lines(text, directives.escape, faults))
    return [f"{fault.location.first}: {fault.message}" for fault in faults.faults]


def test_directives_end_with_the_first_line_that_is_none() -> None:
    faults = FaultList()
    found = read_directives("# Syntax = docker/dockerfile:1\n#escape=`\n# a comment\n# check=skip=all\n", faults)
    assert (found.syntax, found.escape, found.check) == ("docker/dockerfile:1", "`", "")
    assert read_directives("\ufeff# check=error=true\nFROM x", faults).check == "error=true"
    assert read_directives("\n# escape=`\n", faults).escape == "\\"
    assert not faults.faults


def test_a_directive_twice_and_another_escape_are_faults() -> None:
    assert messages_of("# syntax=a\n# syntax=b\nFROM x") == ["2: only one syntax parser directive can be used"]
    assert messages_of("# escape=x\n") == ["1: invalid escape token 'x': must be a backslash or a backtick"]


def test_continuations_are_joined_without_comments_and_empty_lines() -> None:
    text = "RUN a \\\n  # a comment\n\n  && b \\  \n&& c\nCMD d"
    first, second = lines_of(text)
    assert first.text == "RUN a   && b && c" and first.has_empty_continuation
    assert (first.location, second.location) == ((1, 5), (6, 6))
    assert first.original == text.rpartition("\n")[0]


def test_an_escaped_escape_character_continues_nothing() -> None:
    assert texts_of("RUN a\\\\\nRUN b") == ["RUN a\\\\", "RUN b"]
    assert texts_of("RUN a `\nb", "`") == ["RUN a b"]
    assert texts_of("\\\nRUN a\\\n") == ["RUN a"]
    assert texts_of("RUN a \\\n") == ["RUN a"]
    assert texts_of("RUN a\r\nCMD \\\r\n b\r\n") == ["RUN a", "CMD  b"]


def test_comments_right_above_belong_to_an_instruction() -> None:
    first, second = lines_of("# builds it\nFROM x\n# far\n\nFROM y")
    assert first.comments == ("builds it",) and second.comments == ()


def test_heredocs_end_at_their_names() -> None:
    (line, after) = lines_of("RUN <<EOF <<-'END' 3<<X cat\na $b\n#x\nEOF\n\tc\n\tEND\n\nX\nCMD d")
    first, second, third = line.heredocs
    assert (first.content, first.expands) == ("a $b\n#x\n", True)
    assert (second.text, second.expands, second.content) == ("c\n", False, "\tc\n")
    assert (third.content, third.descriptor) == ("\n", 3)
    assert after.text == "CMD d" and after.location == (9, 9)


def test_only_run_copy_and_add_have_heredocs() -> None:
    assert not lines_of("CMD cat <<EOF")[0].heredocs
    assert not lines_of("RUN echo '<<EOF'")[0].heredocs
    assert not lines_of("RUN cat <<<EOF")[0].heredocs
    assert not lines_of("RUN cat << EOF")[0].heredocs
    assert lines_of("ONBUILD\tRUN\t<<E\nx\nE")[0].heredocs[0].content == "x\n"
    assert lines_of('copy <<"E F" /x\ny\nE F')[0].heredocs[0].name == "E F"


def test_a_heredoc_without_an_end_is_a_fault() -> None:
    assert messages_of("FROM x\nRUN <<EOF\nls") == ["2: unterminated heredoc 'EOF'"]


def test_too_many_lines_are_a_fault() -> None:
    assert "too large" in messages_of("\n" * MAX_LINES)[0]


def test_an_excerpt_marks_the_lines_at_fault() -> None:
    (line,) = lines_of("# a\n# b\n# c\nRUN x \\\n  y\n")
    text = "# a\n# b\n# c\nRUN x \\\n  y\n"
    assert list(excerpt(text, line.location)) == [
        "   2 |     # b",
        "   3 |     # c",
        "   4 | >>> RUN x \\",
        "   5 | >>>   y",
        "   6 |",
    ]


@given(st.text(alphabet="R#\\`\n\t <-E'\"", max_size=60))
def test_every_line_is_read_once(text: str) -> None:
    try:
        found = lines_of(text)
    except InvalidInput:
        return
    ends = [0, *(line.location.last for line in found)]
    assert all(
        line.location.first > end and line.location.last >= line.location.first
        for line, end in zip(found, ends, strict=False)
    )
    assert all(line.text and line.text == line.text.strip(" \t") for line in found)
