"""What everything stands on: `base` knows no battery, `contract` is what a reading is, `edges` meet other systems."""
