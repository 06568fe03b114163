"""Moves of local volumes from one node to another, while this manager leads."""
