"""The API that users call: checks what they send, writes what they own, and shows everything."""
