"""Constructs the components of a manager and what they share; nothing else does."""
