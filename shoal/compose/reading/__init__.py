"""Read Compose files: YAML with source locations, interpolation, environment files."""
