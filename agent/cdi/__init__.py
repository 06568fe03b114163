"""Devices of the Container Device Interface (CDI) on this host."""
