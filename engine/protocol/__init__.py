"""The notations of Docker's API: versions, errors, filters, numbers, times, stream frames. Pure."""
