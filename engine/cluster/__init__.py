"""Calls to the cluster's managers."""
