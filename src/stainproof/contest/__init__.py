"""The contest: submissions for it, the contest itself, and its grader on this machine.

`files/` holds what leaves the house: the files of a submission and the programs and pages of a
contest. They import nothing of this package.
"""
