"""The agents' end of the session with a manager."""
