"""Calls of leaders whose term is over are refused."""

import pytest

from agent.streams.leader_terms import LeaderTerms
from shoal.errors import Refused


def test_the_newest_term_wins() -> None:
    terms = LeaderTerms()
    for term in (5, 5, 9):
        terms.check(term)
    with pytest.raises(Refused, match="term is over"):
        terms.check(5)
    terms.check(9)


def test_a_manager_of_a_release_without_terms_is_accepted() -> None:
    terms = LeaderTerms()
    terms.check(9)
    terms.check(0)
    with pytest.raises(Refused):
        terms.check(8)
