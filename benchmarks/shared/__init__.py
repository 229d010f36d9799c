"""What several benchmarks use: the machine, held-out photographs, measured sections, reports."""
