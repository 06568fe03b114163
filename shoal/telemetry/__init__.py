"""What the daemons tell of themselves."""
