"""What holds a container in beside namespaces: its system call filter and its AppArmor profile."""
