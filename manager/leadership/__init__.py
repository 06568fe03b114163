"""Elects the manager that leads, and lists the managers."""
