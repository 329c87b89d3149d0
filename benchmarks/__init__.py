"""The benchmarks of C{make bench}. Each module measures one thing."""
