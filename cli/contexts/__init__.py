"""Contexts: which cluster the command line speaks with, and as whom."""
