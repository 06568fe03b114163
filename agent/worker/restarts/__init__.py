"""Restarts of tasks by their node, while it reaches no manager."""
