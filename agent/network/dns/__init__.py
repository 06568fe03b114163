"""DNS for containers: the zone, and the server that answers from it."""
