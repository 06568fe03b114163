"""Variables in Compose files: the forms of the specification's chapter "Interpolation"."""

import pytest

from shoal.compose.reading.interpolation import interpolate, substitute
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.errors import InvalidInput

VARIABLES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$SET", "value"),
        ("a-${SET}-b", "a-value-b"),
        ("${UNSET}", ""),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${UNSET-default}", "default"),
        ("${SET:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${UNSET+other}", ""),
        ("${UNSET:-${SET}}", "value"),
        ("${UNSET:-${UNSET:-deep}}!", "deep!"),
        ("$$SET", "$SET"),
        ("costs 5$$", "costs 5$"),
        ("a $ alone, 5$", "a $ alone, 5$"),
        ("${SET:?needed}", "value"),
        ("$SET$SET", "valuevalue"),
    ],
)
def test_every_form(text: str, expected: str) -> None:
    assert substitute(text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("${UNSET:?say why}", "variable UNSET is not set: say why"),
        ("${UNSET?}", "variable UNSET is not set"),
        ("${EMPTY:?}", "variable EMPTY is not set"),
        ("a ${} b", "a name must follow ${"),
        ("${SET", "missing }"),
        ("${SET!x}", "invalid interpolation format ${SET!x}"),
    ],
)
def test_faults(text: str, reported: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        substitute(text, VARIABLES)
    assert reported in str(caught.value)


def test_endless_nesting_is_refused() -> None:
    with pytest.raises(InvalidInput):
        substitute("${A:-" * 50 + "}" * 50, {})


def test_all_texts_of_a_structure_and_every_fault() -> None:
    faults: list[tuple[YamlPath, str]] = []
    value = {"a": ["$SET", 1, {"b": "${UNSET?x}"}], "$SET": "${UNSET?y}"}
    done = interpolate(value, VARIABLES, lambda path, message: faults.append((path, message)))
    assert done["a"][:2] == ["value", 1]
    assert [path for path, _ in faults] == [("a", 2, "b"), ("$SET",)]
