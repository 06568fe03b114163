"""The user whom an engine names: there and back, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InvalidInput
from shoal.identity.roles import Role
from shoal.rpc.on_behalf import MAX_NAME, ON_BEHALF_KEY, ActingUser, metadata_of, user_of

NAMES = st.text(min_size=1, max_size=MAX_NAME).filter(str.isprintable)


@given(NAMES)
def test_names_go_there_and_back_as_ascii(name: str) -> None:
    metadata = metadata_of(ActingUser(name, Role.ADMIN))
    assert metadata[0][1].isascii() and metadata[0][1].isprintable()
    assert user_of(metadata) == ActingUser(name, Role.ADMIN)


def test_most_calls_name_nobody() -> None:
    assert user_of(()) is None
    assert user_of((("other", "admin ada"),)) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "admin",
        "admin ",
        "ada",
        "manager m1",
        "agent n1",
        "engine gate",
        "console gate",
        "root ada",
        "admin a%0Ab",
        "admin " + "a" * (MAX_NAME + 1),
        b"admin ada",
    ],
)
def test_others_than_users_are_refused(value: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        user_of(((ON_BEHALF_KEY, value),))


def test_two_users_are_refused() -> None:
    with pytest.raises(InvalidInput):
        user_of((*metadata_of(ActingUser("ada", Role.ADMIN)), *metadata_of(ActingUser("bob", Role.ADMIN))))
