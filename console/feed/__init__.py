"""The cluster as browsers show it, kept up to date for all of them once."""
