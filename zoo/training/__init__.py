"""Training: batches, optimizer groups, the loop."""
