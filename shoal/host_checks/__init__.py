"""Checks of a host that managers and agents share."""
