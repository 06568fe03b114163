"""What all daemons do: tell systemd of their state, and give freed memory back to the host."""
