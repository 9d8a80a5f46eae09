"""The contract: what a reading is, how it travels in a message, and what the flow hands to the landing."""
