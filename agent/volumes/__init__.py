"""Named volumes on this host."""
