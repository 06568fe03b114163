"""One slot: its tasks by meaning, restarts, history, moves and waits."""
