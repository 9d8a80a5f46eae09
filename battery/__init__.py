"""The shared kernel: the reading contract, settings, the topic edge, logging and the `battery` command."""
