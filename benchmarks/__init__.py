"""The benchmarks of C{make bench}. Each module has one benchmark."""
