"""What is measured, and how: C{make bench}. One room measures one thing."""
