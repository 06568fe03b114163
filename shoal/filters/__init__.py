"""Filters of listings, with Docker's keys and meanings: pure functions over what the API answers."""
