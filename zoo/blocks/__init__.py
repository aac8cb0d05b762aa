"""What parts of several kinds are made of. Nothing here is registered."""
