"""Programs in running containers: of users, health checks and lifecycle hooks; attach sessions."""
