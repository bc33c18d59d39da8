"""Defaults of the estimators and the command line; `train` has PyTorch's defaults.

They receive raw columns and run unattended: float64 distinguishes values that are large and close
together, such as times since 1970, and exploding gradients are clipped instead of ending a run.
"""

DTYPE = "float64"
CLIP_NORM = 1.0
