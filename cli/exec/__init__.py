"""`shoal exec` and `shoal attach`: connect this process's standard streams to a process in a container."""
