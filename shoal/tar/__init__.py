"""Tar archives: read as streams with bounds, of people who mean harm; entries written."""
