"""What keeps a job from harming others: a ladder of rungs, of which the service takes one.

The walls themselves are put up by the shim (shim/walls.py). Here it is worked out what they are.
"""
