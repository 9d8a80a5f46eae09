"""What any program needs: settings, log lines, errors for people, locks, and processes that end well."""
