"""This host's underlay, routes, kernel features and sysctls."""
