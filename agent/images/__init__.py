"""Images on this host: pulled, verified, unpacked, collected."""
