"""HTTP: listeners, TLS, routes, connections that are taken over from HTTP."""
