"""Nodes: their calls, warnings about them, and why a drain does not finish."""
