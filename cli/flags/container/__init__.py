"""Flags of `shoal run` and `shoal create`, which are those of `docker run`."""
