"""A page on one cell that is complete in itself, for a mail or a paper."""
