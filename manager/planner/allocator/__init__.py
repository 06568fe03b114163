"""Allocates subnets, addresses of tasks, virtual addresses and mesh ports."""
