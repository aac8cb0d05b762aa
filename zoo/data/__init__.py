"""Reading and describing data."""
