"""The C{fleetiq} command, one file a group of subcommands."""
