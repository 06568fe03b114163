"""conmon, exits of containers, and their removal."""
