"""The landing: objects, warehouse, and the sink that commits both exactly once."""
