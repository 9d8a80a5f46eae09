"""The same simulated cell as each cycler writes it: one writer a format, with the peculiarities of its exports."""
