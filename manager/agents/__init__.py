"""The manager as a client of agents."""
