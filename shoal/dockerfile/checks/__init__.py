"""Build checks: what is legal in a Dockerfile and probably not meant. Pure."""
