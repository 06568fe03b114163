"""Container ids: the mapping to Docker's form and back."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.container_ids import (
    DIGITS,
    container_id,
    is_beginning,
    new_exec_id,
    object_id,
    short_container_id,
    task_of_exec,
)
from shoal.ids import ALPHABET, LENGTH, new_id

ids = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)


@given(ids)
def test_there_and_back(identifier: str) -> None:
    long = container_id(identifier)
    assert len(long) == DIGITS
    assert is_beginning(long)
    assert object_id(long) == identifier
    assert long.startswith(short_container_id(identifier))


@given(ids, ids)
def test_two_ids_have_two_container_ids_that_differ_early(one: str, other: str) -> None:
    if one != other:
        assert container_id(one)[:17] != container_id(other)[:17]


def test_the_first_digits_are_those_of_the_id() -> None:
    assert container_id("0" * 13).startswith("0" * 17)
    assert container_id("z" * 13).startswith("f" * 16 + "8")
    assert len({short_container_id(new_id()) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("text", ["", "0" * 64, "f" * 63, "g" * 64, "F" * 64, "0" * 65])
def test_what_no_object_has(text: str) -> None:
    assert object_id(text) is None


def test_no_id_has_none() -> None:
    with pytest.raises(ValueError, match="no id"):
        container_id("short")


@given(ids)
def test_the_id_of_a_program_begins_as_its_tasks(identifier: str) -> None:
    found = new_exec_id(identifier, bytes(range(24)))
    assert len(found) == DIGITS and is_beginning(found) and found.endswith("15161")
    assert task_of_exec(found) == identifier


@pytest.mark.parametrize("text", ["", "f" * 64, "0" * 16 + "1" + "0" * 47, "0" * 63, "x" * 64])
def test_what_is_no_id_of_a_program(text: str) -> None:
    assert task_of_exec(text) is None


def test_they_cost_a_command_nothing() -> None:
    """`secrets` imports OpenSSL by way of `hmac`: a twentieth of what `shoal run` takes."""
    script = "import sys; from shoal.container_ids import container_id; print('hmac' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
