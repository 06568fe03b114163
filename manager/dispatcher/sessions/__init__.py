"""Serves one agent's session: admission, limits, sending."""
