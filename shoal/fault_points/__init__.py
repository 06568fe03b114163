"""Fault points: places at which tests end a process, make it fail, or let it hang."""
