"""Host ports: reserved by tasks and the routing mesh, or in use by other programs."""
