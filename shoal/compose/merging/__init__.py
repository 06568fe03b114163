"""Merge Compose files, and apply profiles."""
