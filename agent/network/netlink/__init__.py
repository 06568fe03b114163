"""rtnetlink, as much of it as the datapath needs."""
