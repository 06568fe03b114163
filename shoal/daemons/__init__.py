"""What all daemons do: read options, work until a signal, fail with one line, tell systemd, give freed memory back."""
