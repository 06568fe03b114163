"""Container calls that are passed to the container's node: signals, processes, files, programs, commits."""
