"""The node's datapath and names."""
