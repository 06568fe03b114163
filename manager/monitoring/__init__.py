"""What a manager reports of itself, for `shoal.monitoring` to serve."""
