"""Connection drain, stop signal, kill, and stopping after a disconnection."""
