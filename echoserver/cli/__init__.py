"""The C{fleetiq} command, one module for each group of subcommands."""
