"""What several benchmarks use: options, held-out photographs, measured sections, reports."""
