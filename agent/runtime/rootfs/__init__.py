"""Root file systems of containers: overlays, mounted files and volumes."""
