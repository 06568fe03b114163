"""Container networking of a node: overlay, published ports, DNS."""
