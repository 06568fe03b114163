"""BuildKit's API for its clients (buildx, Compose): control, gateway and sessions, over connections taken from HTTP."""
