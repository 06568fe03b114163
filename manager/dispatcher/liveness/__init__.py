"""Which nodes are there: heartbeats, the brake on losing many at once, the watches of managers and of the leader."""
