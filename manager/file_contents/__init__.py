"""Secrets and configs as the managers keep them."""
