"""Updates: their state, pace and monitoring, canaries, and the stable tasks beside them."""
