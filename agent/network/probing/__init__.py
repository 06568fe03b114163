"""Reachability of other nodes and of published ports."""
