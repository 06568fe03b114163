"""Health and metrics of the daemons, over HTTP."""
