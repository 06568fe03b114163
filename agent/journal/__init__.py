"""What the agent has accepted, on disk."""
