"""What the pages and the report draw: pure functions from Arrow tables to Plotly figures, with units on every axis."""
