"""The replay: the landing tables rebuilt from the log or the archive, and swapped in where they differ."""
