"""Loops that the leader alone runs, beside the planner."""
