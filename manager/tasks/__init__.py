"""Tasks: list, exec and attach, resource usage."""
