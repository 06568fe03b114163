"""Drivers of the Container Storage Interface that run beside this agent."""
