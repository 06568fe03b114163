"""System calls, cgroups and processes."""
