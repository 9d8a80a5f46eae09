"""The replay: the landing tables built anew from the log or the archive, and swapped in where they differ."""
