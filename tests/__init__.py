"""Tests, a file for each module; doubles.py has the doubles, contract.py the facts."""
