"""The managers' side of agents' sessions."""
