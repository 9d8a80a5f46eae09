"""The dashboard: one page that looks at the warehouse and changes nothing."""
