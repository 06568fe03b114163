"""Rules for what a container is: its program, health check, devices and controls, what it shares. Pure."""
