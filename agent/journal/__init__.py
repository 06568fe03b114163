"""The agent's journal: accepted tasks and the assigned state, on disk."""
