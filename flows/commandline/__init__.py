"""The options of every command, a file for each group of commands."""
