"""Measurements of the pipeline, each against a reference measured in the same run."""
