"""Runs this node's tasks: decides each step from facts, and executes it."""
