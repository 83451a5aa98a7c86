"""
Probabilities with exact zeros
==============================

The same scores through softmax, 1.5-entmax and sparsemax: the smaller the exponent of the map, the
more entries are exactly zero, at a threshold that is exact.
"""

import matplotlib.pyplot as plt
import numpy as np

from kexue_num import simplex

scores = np.sort(np.random.default_rng(0).normal(size=40))[::-1] * 1.5
maps = {"softmax": simplex.softmax, "entmax15": simplex.entmax15, "sparsemax": simplex.sparsemax}

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for offset, (name, function) in zip((-0.28, 0, 0.28), maps.items(), strict=True):
    p = function(scores)
    ax.bar(np.arange(40) + offset, p, 0.28, label=f"{name}: {np.count_nonzero(p)} of 40")
ax.set(xlabel="entry, by score", ylabel="probability")
ax.legend(frameon=False)
plt.show()

# %%
# The threshold and the size of the support, without the probabilities:

simplex.threshold(scores, map="sparsemax")

# %%
# A projection onto the simplex with an upper bound on every entry, and a minimum over the simplex
# with its certificate: no point has a value lower by more than ``gap``.

print(simplex.project_simplex(scores[:6], upper=0.3).round(3))
A = np.random.default_rng(1).normal(size=(60, 40))
b = A @ simplex.sparsemax(scores) + 0.01
print(simplex.simplex_least_squares(A, b))
