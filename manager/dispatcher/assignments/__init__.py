"""Computes what each node is assigned, incrementally. Pure."""
