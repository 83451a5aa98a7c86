"""
A plan between two clouds, and a bracket on its cost
====================================================

The exact plan, and an entropic one whose result still brackets the exact cost from both sides.
"""

import matplotlib.pyplot as plt
import numpy as np

from kexue_num import transport

rng = np.random.default_rng(0)
x = rng.normal(size=(60, 2)) * 0.4
angle = rng.uniform(0, 2 * np.pi, 60)
y = np.c_[np.cos(angle), np.sin(angle)] * 1.6 + rng.normal(size=(60, 2)) * 0.1
C = ((x[:, None] - y) ** 2).sum(-1)

exact = transport.emd(None, None, C)
smooth = transport.sinkhorn(None, None, C, reg=0.01 * C.max())
print(exact)
print(smooth)
low, high = smooth.bracket
print(f"exact cost {exact.value:.6f}, bracketed by [{low:.6f}, {high:.6f}]")
assert low <= exact.value <= high

fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharex=True, sharey=True)
for ax, result, title in ((axes[0], exact, "exact"), (axes[1], smooth, "entropic")):
    plan = result.plan
    for i, j in zip(*np.nonzero(plan > 0.02 * plan.max()), strict=True):
        ax.plot(*zip(x[i], y[j], strict=True), color="0.6", lw=plan[i, j] / plan.max(), zorder=0)
    ax.scatter(*x.T, s=14, color="tab:red")
    ax.scatter(*y.T, s=14, color="tab:blue")
    ax.set(title=title, aspect="equal", xticks=[], yticks=[])
plt.show()
