"""Logs of tasks: which are selected, read from their nodes, merged or followed."""
