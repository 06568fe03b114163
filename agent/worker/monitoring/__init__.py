"""Health and listening checks of running containers."""
