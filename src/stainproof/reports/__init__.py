"""HTML pages of runs, audits, searches and ladders, and their figures."""
