"""Who is who in a cluster: certificates, roles, join tokens."""
