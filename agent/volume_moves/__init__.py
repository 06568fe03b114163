"""A volume's data from one node to another."""
