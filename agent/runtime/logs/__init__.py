"""Log files of containers: rotation, following, reading."""
