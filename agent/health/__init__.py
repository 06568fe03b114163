"""Telling whether a container serves, and how that follows from one check to the next."""
