"""Calls about the cluster itself: join tokens, managers, the store, and calls to other managers."""
