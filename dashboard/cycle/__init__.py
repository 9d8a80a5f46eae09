"""Single cycles: which are chosen, their readings and curves, and the lines that are drawn of them."""
