"""The agent of a Shoal node: runs the tasks that managers assign to this host."""
