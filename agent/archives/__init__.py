"""Archives of containers' files: read, written, and what a container has changed."""
