"""The tests, as a package. This runs before anything imports torch."""

import os

# The checkpoints are tiny: a second thread gains nothing, and where other work goes on beside, threads that wait for
# each other by spinning make the suite ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
