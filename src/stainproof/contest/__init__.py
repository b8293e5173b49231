"""Contests on Codabench: submissions, contest bundles, and grading on this machine.

`files/` holds the files of a submission and the programs and pages of a contest. They run elsewhere
and import nothing of this package.
"""
