"""The host as managers see it: its description, underlay address, devices and drivers."""
