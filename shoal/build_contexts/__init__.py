"""Contexts of builds as nodes compare them with those of earlier builds: for the command line and for the engine."""
