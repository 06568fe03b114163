"""Check that no retired word of `docs/nomenclature.md` is an identifier or stands in a text that users meet.

The list is the table below the heading "Retired words": `| old, older | new | scope |`. The scope is one of

    name    no part of an identifier, a file name or a code span of a README
    exact   no identifier is exactly so
    text    not in a string literal, a help text or a document for users
    both    name and text

An old word is one or more words, "let_go", which are compared with the words that an identifier consists of
("keep_let_go", "KeepLetGo") or with those of a text ("let go"). A line that ends in `# retired word: WHY` is exempt.

    python deploy/check_words.py [DIRECTORY]      # prints FILE:LINE and what is wrong; exit code 1 if anything is
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

NOMENCLATURE = "docs/nomenclature.md"
TABLE = "\n## Retired words"
FOLDERS = ("agent", "cli", "console", "deploy", "docs", "engine", "manager", "proto", "shoal", "tests")
USER_DOCUMENTS = re.compile(r"(README|CHANGELOG|deploy/.*|docs/.*)\.md|deploy/(examples/.*|[^/]*\.sh)|Makefile")
DESCRIPTIONS = re.compile(r"(.*/)?README\.md|docs/.*\.md")
GENERATED = re.compile(r".*_pb2(_grpc)?\.pyi?")
HELP = re.compile(r"cli/.*|.*/main\.py")
"""Modules with commands, whose docstrings are their help."""
EXEMPT = "# retired word: "

_ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]+) \| (name|exact|text|both) \|$", re.MULTILINE)
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_COMMAND = re.compile(r"\b(command|group)\b")
_CODE_SPAN = re.compile(r"`([^`]+)`")
_PROTO_NAME = re.compile(r"^ *(?:(?:message|enum) (\w+)|rpc (\w+)|.*?(\w+) = \d+[;\[ ])", re.MULTILINE)


@dataclass(frozen=True)
class RetiredWord:
    """A retired word and what stands in its place.

    Attributes:
        scope: "name", "exact", "text" or "both".
    """

    old: str
    new: str
    scope: str

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """In lower case."""
        return split_words(self.old)


class Vocabulary:
    """Finds retired words. Each identifier and each text is compared with all of them at once."""

    def __init__(self, retired: Sequence[RetiredWord]) -> None:
        self._exact = {word.old: word for word in retired if word.scope == "exact"}
        self._names: dict[str, list[RetiredWord]] = {}
        self._texts: dict[str, RetiredWord] = {}
        for word in retired:
            if word.scope in ("name", "both"):
                self._names.setdefault(word.parts[0], []).append(word)
            if word.scope in ("text", "both"):
                self._texts[" ".join(re.split(r"[\s_-]", word.old.lower()))] = word
        alternatives = sorted(self._texts, key=len, reverse=True)
        words = "|".join(re.escape(text).replace(r"\ ", r"[\s_-]+") for text in alternatives)
        self._text = re.compile(rf"(?<![\w./-])(?:{words})(?![\w=/-])", re.IGNORECASE) if words else None

    def in_name(self, name: str) -> Iterator[RetiredWord]:
        """Retired words that are a part of an identifier, or the identifier itself."""
        if name in self._exact:
            yield self._exact[name]
        parts = split_words(name)
        for at, part in enumerate(parts):
            for word in self._names.get(part, ()):
                if parts[at : at + len(word.parts)] == word.parts:
                    yield word

    def in_text(self, text: str) -> Iterator[RetiredWord]:
        """Retired words of a text."""
        for match in self._text.finditer(text) if self._text is not None else ():
            yield self._texts[" ".join(re.split(r"[\s_-]+", match[0].lower()))]


@dataclass(frozen=True)
class Finding:
    """An identifier (scope "name") or a text ("text") in a file."""

    line: int
    scope: str
    text: str


def split_words(name: str) -> tuple[str, ...]:
    """("live", "tables") of "LiveTables", "live_tables" and "live tables"."""
    return tuple(part.lower() for part in _PARTS.findall(name))


def retired_words(nomenclature: str) -> list[RetiredWord]:
    """The rows of the table in the document."""
    rows = _ROW.findall(nomenclature.partition(TABLE)[2])
    return [RetiredWord(old, new.strip(), scope) for olds, new, scope in rows for old in _CODE_SPAN.findall(olds)]


def find_in_python(path: str, content: str) -> Iterator[Finding]:
    """What a module binds, and its string literals; of a test only the former, without the names of test cases."""
    nodes = list(ast.walk(ast.parse(content)))
    file = Path(path)
    yield Finding(1, "name", file.stem if file.stem != "__init__" else file.parent.name)
    for node in nodes:
        yield from (found for found in _bound(node) if not found.text.startswith("test_"))
    if not path.startswith("tests/"):
        yield from _texts(nodes, help_texts=HELP.fullmatch(path) is not None)


def find_in_proto(content: str) -> Iterator[Finding]:
    """Messages, enums, RPCs, fields and enum values."""
    for match in _PROTO_NAME.finditer(content):
        line = content.count("\n", 0, match.start()) + 1
        yield Finding(line, "name", next(name for name in match.groups() if name))


def find_in_document(path: str, content: str) -> Iterator[Finding]:
    """The lines of a document for users, and the code spans of one for developers."""
    is_markdown = DESCRIPTIONS.fullmatch(path) is not None
    for number, line in enumerate(content.splitlines(), 1):
        if USER_DOCUMENTS.fullmatch(path):
            yield Finding(number, "text", line)
        for span in _CODE_SPAN.findall(line) if is_markdown else ():
            yield from (Finding(number, "name", name) for name in re.findall(r"\w+", span))


def find(path: str, content: str) -> Iterator[Finding]:
    """Everything in a file that could be a retired word."""
    if GENERATED.fullmatch(path):
        return iter(())
    if path == NOMENCLATURE:
        content = content.partition(TABLE)[0]
    if path.endswith(".py"):
        return find_in_python(path, content)
    if path.endswith(".proto"):
        return find_in_proto(content)
    return find_in_document(path, content)


def violations(vocabulary: Vocabulary, path: str, content: str) -> Iterator[str]:
    """One line for each retired word of a file."""
    lines = content.splitlines()
    for found in find(path, content):
        hits = vocabulary.in_name(found.text) if found.scope == "name" else vocabulary.in_text(found.text)
        for word in hits:
            if EXEMPT not in "".join(lines[found.line - 1 : found.line]):
                yield f'{path}:{found.line}: {found.scope} "{word.old}": use {word.new}'


def _bound(node: ast.AST) -> Iterator[Finding]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield Finding(node.lineno, "name", node.name)
    elif isinstance(node, ast.arg):
        yield Finding(node.lineno, "name", node.arg)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield Finding(node.lineno, "name", node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield Finding(node.lineno, "name", node.attr)
    elif isinstance(node, ast.alias) and node.asname:
        yield Finding(node.lineno, "name", node.asname)


def _texts(nodes: Sequence[ast.AST], *, help_texts: bool) -> Iterator[Finding]:
    documentation = set(_documentation(nodes, help_texts=help_texts))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield Finding(node.lineno, "text", node.value)


def _documentation(nodes: Sequence[ast.AST], *, help_texts: bool) -> Iterator[int]:
    """Docstrings, also of constants, but for those that are the help of commands."""
    helps = {
        id(node.body[0].value)
        for node in nodes
        if help_texts and isinstance(node, ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
        if any(_COMMAND.search(ast.unparse(decorator)) for decorator in node.decorator_list)
    }
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and id(node.value) not in helps:
            yield id(node.value)


def main(directory: str = ".") -> None:
    """Print what is wrong; exit code 1 if anything is."""
    root = Path(directory)
    retired = retired_words((root / NOMENCLATURE).read_text(encoding="utf-8"))
    if not retired:
        sys.exit(f"{NOMENCLATURE}: the table of retired words is missing")
    vocabulary = Vocabulary(retired)
    found = [
        line
        for path in checked_files(root)
        for line in violations(vocabulary, path, (root / path).read_text(encoding="utf-8"))
    ]
    if found:
        print("\n".join(found), f"{len(found)} retired words; docs/nomenclature.md lists them", sep="\n")  # noqa: T201
        sys.exit(1)


def checked_files(root: Path) -> list[str]:
    """Modules, schemas and documents below a directory, sorted, as paths below it."""
    found = [*root.glob("*"), *(file for folder in FOLDERS for file in (root / folder).rglob("*.*"))]
    files = [file for file in found if "node_modules" not in file.parts]
    paths = sorted(file.relative_to(root).as_posix() for file in files)
    return [path for path in paths if path.endswith((".py", ".proto")) or _is_document(path)]


def _is_document(path: str) -> bool:
    return USER_DOCUMENTS.fullmatch(path) is not None or DESCRIPTIONS.fullmatch(path) is not None


if __name__ == "__main__":
    main(*sys.argv[1:2])
