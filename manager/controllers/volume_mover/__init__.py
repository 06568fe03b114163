"""Moves local volumes from one node to another; runs on the leader."""
