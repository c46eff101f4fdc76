"""Tests on engines as others release them: `make engines` gets them and runs these.

`make test` leaves them out: they take minutes, and gigabytes that no other test needs.
"""
