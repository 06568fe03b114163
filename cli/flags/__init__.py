"""Tables of flags, and their application to a spec."""
