"""registry.yaml: from what is written to the runs that it plans."""
