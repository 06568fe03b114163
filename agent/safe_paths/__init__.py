"""Access by file descriptor to directories that containers may change concurrently."""
