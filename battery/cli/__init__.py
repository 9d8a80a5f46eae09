"""The `battery` command: one file a family of subcommands."""
