"""Messages that several rooms share: objects in use, versions that have changed."""

import pytest

from manager.records.in_use import in_use
from manager.records.versions import check_version
from manager.validation.text_rules import join_names
from shoal.errors import Conflict


def test_users_are_named_up_to_five() -> None:
    assert in_use("volume", "data", ["db"]) == 'volume "data" is in use by db; remove or update them first'
    assert " by a, b, c, d, e; " in in_use("secret", "pw", list("abcde"))
    assert " by a, b, c, d, e, …; " in in_use("network", "front", list("abcdef"))
    assert join_names([*"abcdef"], "; ") == "a; b; c; d; e; …"


def test_a_version_that_was_read_earlier_is_a_conflict() -> None:
    check_version('service "web"', 7, 7)
    with pytest.raises(Conflict, match=r'service "web" has changed since it was read \(version 5, now 7\)'):
        check_version('service "web"', 5, 7)
