"""Checks of this node's host, on a manager's request."""
