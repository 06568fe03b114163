"""Streams that go on at another manager: what to ask it for, and what of its answers has been seen."""
