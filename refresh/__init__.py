"""The refresh: dbt builds and tests the models, and readers see what has passed."""
