"""Contexts: which cluster the command line talks to, and with which credentials."""
