"""Connections spread over the tasks of a service: virtual addresses, and ports of every node."""
