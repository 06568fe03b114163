"""What an agent reports of itself, for `shoal.monitoring` to serve."""
