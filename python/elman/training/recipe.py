"""What the estimators and the command line begin with, where `train` does as PyTorch does.

They are given raw columns and are not watched: float64 keeps numbers apart that are close for their
size, such as times since 1970, and a gradient that explodes does not end a run.
"""

DTYPE = "float64"
CLIP_NORM = 1.0
