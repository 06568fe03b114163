"""Calls to the managers by programs that run on: an engine, a console."""
