"""The commands of a document for operators, with the hosts that they are for and the output that they promise. Pure.

    ```console
    m1# shoal manager ls
    ID              STATUS   LEADER
    vt2c8vq1m4pzw   ready    leader
    ```

is one step. A command goes on in the next line after a backslash. A line "…" of the output stands for any number of
lines, a word with "…" for any word that begins and ends so.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_SECTION = re.compile(r"^## (.+)$")
_PROMPT = re.compile(r"^(\w+)# (.+)$")
_FENCE = "```"

_VOLATILE = (
    r"[0-9a-f]{16}",  # of a member of etcd
    r"SHOAL-1-\S+",
    r"sha256:[0-9a-f]{64}",
    r"\d+\.\d+\.\d+(?:rc\d+)?",  # a release
    r"\d+(?:\.\d+)?(?:ms|s|m|h)",
    r"\d+(?:\.\d+)?",
    r"(?:\d+/)?\d+",
    r"[KMGT]?i?B(?:/\d+)?",
    r"\d{4}-\d\d-\d\dT?(?:[\d:.]+Z?)?",
    r"[\d:]+",
)
_ID = re.compile(r"\b(?=[a-z]*[0-9])[0-9a-hjkmnp-tv-z]{13}\b")
"""Of an object."""
_KINDS = tuple(re.compile(kind) for kind in _VOLATILE)


@dataclass(frozen=True)
class DocumentedStep:
    """One command.

    Attributes:
        line: its number in the document, from 1.
        host: that it is for.
        output: that it promises, a line each; empty: whatever it prints.
    """

    section: str
    line: int
    host: str
    command: str
    output: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """Whether it is shown as one that is refused."""
        return any(line.startswith(("error:", "shoal-manager:")) for line in self.output)


def documented_steps(text: str) -> Iterator[DocumentedStep]:
    """The steps of a document, from the top."""
    section = ""
    block: list[tuple[int, str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if found := _SECTION.match(line):
            section = found[1]
        elif block is None and line == f"{_FENCE}console":
            block = []
        elif block is not None and line == _FENCE:
            yield from _steps(section, block)
            block = None
        elif block is not None:
            block.append((number, line))


def _steps(section: str, block: Sequence[tuple[int, str]]) -> Iterator[DocumentedStep]:
    lines = iter([*block, (0, "end# of the block")])
    started: tuple[int, str, str] | None = None
    output: list[str] = []
    for number, line in lines:
        if not (found := _PROMPT.match(line)):
            assert started is not None, f"line {number}: a block begins with a host and a command"
            output.append(line)
            continue
        if started is not None:
            yield DocumentedStep(section, *started, tuple(output))
        command = found[2]
        while command.endswith("\\"):
            command = command[:-1] + next(lines)[1].strip()
        started, output = (number, found[1], command), []


def compare(output: str, promised: Sequence[str]) -> dict[str, str] | None:
    """Whether a command printed what the document shows: the same words, but for IDs, times, sizes, counts,
    and which manager leads.

    Returns:
        The IDs of the document, and those that this cluster has in their places. None: it is not what is shown.
    """
    return _lines(_words(output.splitlines()), _words(promised))


def _words(lines: Iterable[str]) -> list[list[str]]:
    return [[word for word in line.split() if word != "leader"] for line in lines if line.strip()]


def _lines(lines: Sequence[list[str]], expected: Sequence[list[str]]) -> dict[str, str] | None:
    if not expected:
        return None if lines else {}
    if expected[0] == ["…"]:
        found = (_lines(lines[start:], expected[1:]) for start in range(len(lines) + 1))
        return next((each for each in found if each is not None), None)
    if not lines or len(lines[0]) != len(expected[0]) or not all(map(_same_word, lines[0], expected[0])):
        return None
    rest = _lines(lines[1:], expected[1:])
    return rest if rest is None else {**dict(_ids(lines[0], expected[0])), **rest}


def _ids(words: Iterable[str], promised: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word, shown in zip(words, promised, strict=True):
        here, there = _ID.search(word), _ID.search(shown)
        if here and there:
            yield there[0], here[0]


def _same_word(word: str, promised: str) -> bool:
    if "…" in promised:
        start, _, end = promised.partition("…")
        return word.startswith(start) and word.endswith(end)
    word, promised = word.rstrip(".,;:"), promised.rstrip(".,;:")
    return _without_ids(word) == _without_ids(promised) or any(
        kind.fullmatch(word) and kind.fullmatch(promised) for kind in _KINDS
    )


def _without_ids(word: str) -> str:
    return _ID.sub("ID", word)
