"""How many tasks of a service new connections are spread over. Shared, since agents do it and managers refuse what is
beyond it."""

BUCKETS_PER_TASK = 8
"""Shares are counted in buckets, and two shares differ by one at most: with so many each, by an eighth."""
MAX_BUCKETS = 65_536
"""Of a virtual address, or a port of every node. More tasks than that, and some would get no connection."""
MAX_EVEN_TASKS = MAX_BUCKETS // BUCKETS_PER_TASK
"""Of more, some get up to twice as many connections as others."""
