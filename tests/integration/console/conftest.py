"""Tests of pages wait for what they expect of them."""

import pytest
from playwright.async_api import expect

from tests.bench.rig.chromium import TIMEOUT_MS


@pytest.fixture(scope="session", autouse=True)
def patient() -> None:
    """As long as for what is done with a page; Playwright's own bound is 5 s."""
    expect.set_options(timeout=TIMEOUT_MS)
