"""What all objects of the API share: lookup, unique names, groups of writes, differences."""
