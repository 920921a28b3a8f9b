"""Short programs that print numbers worth reading."""
