"""Load balancing of virtual addresses and the routing mesh over the tasks of a service."""
