"""Compose files: read, validated and converted to specs. The entry point is `load.load_files`."""
