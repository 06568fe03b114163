"""Counts and durations of a process, and gauges read from it: what `shoal.monitoring` exposes."""
