"""Copies of files between this machine and containers, as tar streams."""
