"""`shoal exec`: a program in a task's container, and this process as its pipes or its terminal."""
