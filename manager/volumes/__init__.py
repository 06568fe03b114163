"""Volumes: their calls, moves, homes, services' references to them, drivers and disk usage."""
