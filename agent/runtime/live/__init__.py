"""What can be done to a running container: pausing it, changing its limits, listing its processes."""
