"""From an assigned task to a running container."""
