"""What an agent serves to managers."""
