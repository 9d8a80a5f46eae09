"""The inbox, as its page shows it, and what is dropped onto that page."""
