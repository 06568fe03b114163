"""A task's attachment: its network namespace, link and addresses."""
