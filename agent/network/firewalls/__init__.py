"""Other programs' firewalls: which traffic they drop, and coexistence with Docker."""
