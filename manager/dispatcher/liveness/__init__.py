"""Decides which nodes are lost: heartbeats, the disruption limit, and a monitor for nodes without a manager."""
