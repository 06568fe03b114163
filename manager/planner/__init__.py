"""Decides what is to run where. Pure stages over a view of the store, and one loop that commits what they decide."""
