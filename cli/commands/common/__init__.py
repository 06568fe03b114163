"""What commands share: options, listings, completion, several names, submission."""
