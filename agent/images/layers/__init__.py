"""Unpacks layers into directories for overlayfs, in a separate process. See README.md."""
