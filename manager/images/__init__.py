"""Images of the cluster: their names, what uses them, and whether their bytes are there."""
