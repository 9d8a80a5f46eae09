"""What a lab knows of its cells: its messages land as a table with their history, and changes are published."""
