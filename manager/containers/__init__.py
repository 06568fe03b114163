"""Containers of their users' own: the calls about their records."""
