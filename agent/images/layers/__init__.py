"""A layer's blob to a directory for overlayfs, in a process of its own. See README.md."""
