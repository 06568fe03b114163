"""Convert keys of Compose files to specs."""
