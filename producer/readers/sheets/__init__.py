"""What all spreadsheets of cyclers share: headers, units, clocks, durations, channels."""
