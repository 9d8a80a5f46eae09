"""One cell, as its page and its report tell it: facts, notes, and one list of figures."""
