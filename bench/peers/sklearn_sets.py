"""Writes sets that scikit-learn comes with as NAME-x.npy (rows x columns) and NAME-y.npy: FOLDER NAME..."""

import os
import sys

import numpy as np
import sklearn.datasets

folder, *names = sys.argv[1:]
for name in names:
    found = getattr(sklearn.datasets, f"load_{name}")()
    np.save(os.path.join(folder, f"{name}-x.npy"), np.ascontiguousarray(found.data, dtype="f8"))
    np.save(os.path.join(folder, f"{name}-y.npy"), np.ascontiguousarray(found.target, dtype="f8"))
