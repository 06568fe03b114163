"""Writes what agents report, batched."""
