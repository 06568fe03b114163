"""Delays the stop of a task until no node routes to it."""
