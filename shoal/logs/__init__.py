"""Container logs: the format of lines, and logs of several tasks by time."""
