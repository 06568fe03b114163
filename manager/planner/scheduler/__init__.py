"""Chooses nodes for batches of like tasks, and writes the records of placed tasks."""
