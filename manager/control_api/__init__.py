"""The gRPC service `Control`: passes each call, with its caller, to its handler."""
