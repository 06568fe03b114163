"""What browsers ask for, a module a noun."""
