"""The web console: a server for browsers, and the pages that it serves."""
