"""
A photograph from its own columns
=================================

An interpolative decomposition keeps some columns of a matrix and writes all others as
combinations of them. Its error comes with a bound that holds with probability 99.9 %.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from kexue_num import lowrank

picture = load_sample_image("china.jpg").mean(axis=2)
found = lowrank.interp_decomp(picture, 80, rng=0)
found

# %%
# The columns it kept, and the photograph rebuilt from them.

fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
kept = np.full_like(picture, 255)
kept[:, found.indices] = picture[:, found.indices]
for ax, image, title in (
    (axes[0], kept, "80 of 640 columns"),
    (axes[1], found.reconstruct(), "and what they say of the others"),
):
    ax.imshow(image, cmap="gray", vmin=0, vmax=255)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()

# %%
# The true error, its bound, and the best that any matrix of rank 80 can do.

s = np.linalg.svd(picture, compute_uv=False)
error = np.linalg.norm(picture - found.reconstruct(), 2)
print(f"optimum {s[80] / s[0]:.4f}  error {error / s[0]:.4f}  bound {found.error_bound / s[0]:.4f}")
assert error <= found.error_bound

# %%
# The same by rows and columns at once (CUR): ``U`` couples chosen columns with chosen rows.

cur = lowrank.cur(picture, 80, rng=0)
cur_error = np.linalg.norm(picture - cur.reconstruct(), 2)
print(f"CUR: error {cur_error / s[0]:.4f}  bound {cur.error_bound / s[0]:.4f}")

# %%
# And a product from a few of its rank-one terms (CR), without bias: the error is a random number
# whose expected square is returned.

product = lowrank.cr_matmul(picture.T, picture, 100, method="pips", rng=0)
squared = np.linalg.norm(picture.T @ picture - product.toarray()) ** 2
print(f"squared error {squared:.3g}, expected {product.variance:.3g}")
