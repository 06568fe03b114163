"""Observability of the daemons."""
