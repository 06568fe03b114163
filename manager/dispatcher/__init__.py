"""The managers' end of the agents' sessions."""
