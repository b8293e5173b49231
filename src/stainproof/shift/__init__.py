"""How a laboratory takes its pictures: measured without labels, and standardised."""
