"""The start path of containers, and its optimizations."""
