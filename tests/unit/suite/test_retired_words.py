"""The check of retired words finds what is planted."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.check_words import Vocabulary, retired_words, split_words, violations

CHECK = Path(__file__).parents[3] / "deploy" / "check_words.py"

TABLE = """# Nomenclature

| `outside` | of the table | both |

## Retired words

| old | new | scope |
|---|---|---|
| `told`, `let go` | report | name |
| `LiveTables` | `TableState` | exact |
| `made anew` | created again | text |
| `catalogue` | index | both |
"""
VOCABULARY = Vocabulary(retired_words(TABLE))


def found(path: str, content: str) -> list[str]:
    """The retired words in a file, in the order of the report."""
    return [line.split('"')[1] for line in violations(VOCABULARY, path, content)]


def test_the_table_is_read_with_all_its_words() -> None:
    assert [word.old for word in retired_words(TABLE)] == ["told", "let go", "LiveTables", "made anew", "catalogue"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LiveTables", ("live", "tables")),
        ("_is_told_by_null", ("is", "told", "by", "null")),
        ("MAX_DNSNames2", ("max", "dns", "names", "2")),
        ("king", ("king",)),
    ],
)
def test_an_identifier_is_split_into_its_words(name: str, words: tuple[str, ...]) -> None:
    assert split_words(name) == words


@pytest.mark.parametrize(
    "code",
    [
        "told = 1",
        "def is_told(): ...",
        "async def f(told): ...",
        "class KeepLetGo: ...",
        "self.told = 1",
        "import shoal as told",
        "class A:\n    told: int",
        "for told in (): ...",
    ],
)
def test_identifiers_are_found_wherever_they_are_bound(code: str) -> None:
    assert found("agent/module.py", code) in (["told"], ["let go"])
    assert found("tests/unit/module.py", code) in (["told"], ["let go"])


def test_parts_of_words_and_uses_are_not_found() -> None:
    assert found("agent/module.py", "untoldable = gold(told)") == []


def test_a_name_that_is_retired_exactly_may_be_a_part_of_others() -> None:
    assert found("agent/module.py", "class LiveTables: ...\nclass LiveTablesReader: ...") == ["LiveTables"]


def test_a_files_name_is_an_identifier() -> None:
    assert found("agent/told.py", "") == ["told"]
    assert found("agent/told/__init__.py", "") == ["told"]


def test_texts_are_found_but_not_docstrings() -> None:
    code = '"""Made anew."""\nX = 1\n"""Made anew."""\nraise ValueError(f"{X} was made\\nanew")'
    assert found("agent/module.py", code) == ["made anew"]
    assert found("tests/unit/module.py", code) == []


def test_the_docstring_of_a_command_is_its_help() -> None:
    code = '@command\ndef f() -> None:\n    """Made anew."""'
    assert found("cli/commands/module.py", code) == ["made anew"]
    assert found("agent/module.py", code) == []


def test_a_test_case_is_called_by_a_sentence() -> None:
    assert found("tests/unit/test_x.py", "def test_the_user_is_told(): ...") == []


def test_messages_fields_and_calls_of_a_schema_are_identifiers() -> None:
    schema = "// is told\nmessage LiveTables {\n  repeated string is_told = 1;\n  rpc LetGo(A) returns (B);\n}\n"
    assert found("proto/x.proto", schema) == ["LiveTables", "told", "let go"]


def test_documents_for_users_and_code_in_descriptions() -> None:
    assert found("README.md", "A catalogue is made anew, and users are told.") == ["catalogue", "made anew"]
    assert found("agent/README.md", "A catalogue is made anew by `is_told`.") == ["told"]


def test_a_line_can_be_exempt_with_a_reason() -> None:
    assert found("agent/module.py", "told = 1  # retired word: of another project") == []


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECK), str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_fails_where_a_word_is_planted(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "nomenclature.md").write_text(TABLE)
    module = tmp_path / "agent" / "module.py"
    module.parent.mkdir()
    module.write_text("value = 1\n")
    assert run(tmp_path).returncode == 0
    module.write_text("told = 1\n")
    result = run(tmp_path)
    assert result.returncode == 1
    assert result.stdout.splitlines()[0] == 'agent/module.py:1: name "told": use report'


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "nomenclature.md").write_text("# Nomenclature\n")
    assert run(tmp_path).returncode == 1
