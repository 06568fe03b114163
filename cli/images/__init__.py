"""The library behind `shoal image`: archives read and written, pushed, inspected."""
