"""The search of the design space: what may be tried, what is tried next, what each trial showed."""
