"""Addresses and ranges of addresses as numbers."""
