"""Keys of vertices, and layers that are there already."""
