"""Calls about secrets and configs."""
