"""Managers of two releases beside each other, and releases that are older than the cluster's state."""
