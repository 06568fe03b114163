"""The only code that changes the kernel's network for tasks and other nodes."""
