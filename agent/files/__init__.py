"""Secrets and configs of this node's tasks."""
