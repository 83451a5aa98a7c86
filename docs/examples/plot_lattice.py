"""
All ways to segment a word
==========================

Samples of segmentations follow exp(alpha x score) exactly, so their frequencies meet the
probabilities that the lattice computes.
"""

import collections

import matplotlib.pyplot as plt
import numpy as np

from kexue_num.lattice import UnigramTokenizer

pieces = ["watch", "ing", "wat", "ching", "w", "atching", "a", "t", "ch"]
tokenizer = UnigramTokenizer.from_pieces(pieces, [-4, -3, -6, -5, -5, -6, -7, -7, -6])
lattice = tokenizer.lattice("watching")
alpha, size = 0.5, 20_000
print(lattice.count_paths(), "segmentations; the best:", tokenizer.encode("watching"))

paths = lattice.kbest(lattice.count_paths())
scores = np.array([path.score for path in paths])
probability = np.exp(alpha * scores - lattice.log_partition(alpha=alpha))

# %%
# Sampled a few thousand times, each segmentation turns up as often as it should.

counts = collections.Counter(
    tuple(ids.tolist()) for ids in tokenizer.sample("watching", alpha, size=size, rng=0)
)
names = {}
for ids in counts:
    score = sum(tokenizer.scores[i] for i in ids)
    names["|".join(tokenizer.decode([i]) for i in ids)] = (counts[ids], score)
order = sorted(names, key=lambda name: -names[name][1])
expected = [np.exp(alpha * names[name][1] - lattice.log_partition(alpha=alpha)) for name in order]
assert np.isclose(probability.sum(), 1)

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
place = np.arange(len(order))
ax.barh(place + 0.2, expected, 0.4, label="probability")
ax.barh(place - 0.2, [names[name][0] / size for name in order], 0.4, label="frequency")
ax.set_yticks(place, order)
ax.invert_yaxis()
ax.legend(frameon=False)
plt.show()
