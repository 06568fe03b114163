"""Stacks: deployed and removed as one, and dry runs of that."""
