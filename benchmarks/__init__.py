"""Speed against floors and peers. ``python -m benchmarks`` runs them all."""
