"""
Where peers go wrong
====================

Inputs on which well-known libraries raise obscure errors, or answer wrongly without a word. A peer
that is not installed is skipped; what is printed is what the installed versions do.
"""

import importlib
import tempfile
import warnings

import matplotlib.pyplot as plt
import numpy as np
import scipy.linalg.interpolative as sli

from kexue_num import lowrank, simplex, transport
from kexue_num.density import FourierDensity
from kexue_num.lattice import UnigramTokenizer

warnings.simplefilter("ignore")


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def attempt(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:70]}"


# %%
# **scipy.linalg.interpolative: a tolerance that is missed.** Both are asked for an error of one
# millionth of the norm.

x = np.linspace(0, 1, 600)
A = 1 / (0.02 + np.abs(x[:, None] - x - 1.02))
norm = np.linalg.norm(A, 2)
k, idx, proj = sli.interp_decomp(A, 1e-6, rng=0)
theirs = A[:, idx[:k]] @ sli.reconstruct_interp_matrix(idx, proj)
found = lowrank.interp_decomp(A, tol=1e-6, rng=0)
print(f"SciPy:     rank {k}, error {np.linalg.norm(A - theirs, 2) / norm:.1e}")
ours = np.linalg.norm(A - found.reconstruct(), 2) / norm
print(f"kexue_num: rank {found.rank}, error {ours:.1e}, bound {found.error_bound / norm:.1e}")

# %%
# **The Kahan matrix.** Column pivoting alone lets coefficients explode; here they are bounded by
# ``z_bound``, and so is the error.

n, c = 90, 0.285
kahan = np.diag((1 - c**2) ** (np.arange(n) / 2)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1))
idx, proj = sli.interp_decomp(kahan, n - 1, rand=False)
print(f"SciPy:     largest coefficient {np.abs(proj).max():.1e}")
found = lowrank.interp_decomp(kahan, n - 1, method="deterministic")
print(f"kexue_num: largest coefficient {found.max_abs_coefficient:.2f}")

# %%
# **A zero matrix** has rank zero, not NaN coefficients.

idx, proj = sli.interp_decomp(np.zeros((5, 5)), 2, rand=False)
print("SciPy:    ", proj.ravel()[:3])
print("kexue_num:", lowrank.interp_decomp(np.zeros((5, 5)), 2).coefficients[:, 2:].ravel()[:3])

# %%
# **Softmax and infinities.** Entries of +inf share the mass.

from scipy.special import softmax

scores = np.array([np.inf, 0.0, np.inf])
print("SciPy:    ", softmax(scores))
print("kexue_num:", simplex.softmax(scores))

# %%
# **entmax: integers, alpha = 1, masked rows.**

entmax, torch = optional("entmax"), optional("torch")
if entmax and torch:
    row = torch.tensor([[3, 1, 0]])
    print("entmax, integers: ", attempt(lambda: entmax.entmax_bisect(row, 1.5)))
    print("entmax, alpha = 1:", attempt(lambda: entmax.entmax_bisect(row.double(), 1.0)))
    masked = torch.full((1, 3), -torch.inf)
    print("entmax, all -inf: ", attempt(lambda: entmax.sparsemax(masked)))
print("kexue_num:        ", simplex.entmax([3, 1, 0], 1.5), simplex.entmax([3, 1, 0], 1.0))
print("kexue_num:        ", simplex.sparsemax([-np.inf] * 3))

# %%
# **Long float32 rows.** The sum of ten million probabilities is 1.

row = np.random.default_rng(0).normal(0, 3, 10_000_000).astype(np.float32)
if torch:
    theirs = torch.softmax(torch.from_numpy(row), 0).numpy()
    print(f"PyTorch:   {theirs.sum(dtype=np.float64):.6f}")
print(f"kexue_num: {simplex.softmax(row).sum(dtype=np.float64):.6f}")

# %%
# **POT: small regularisation.** The kernel underflows; here the answer is converged, with a bracket
# on the exact cost.

ot = optional("ot")
rng = np.random.default_rng(0)
points, others = rng.random((50, 2)), rng.random((50, 2))
C = ((points[:, None] - others) ** 2).sum(-1)
mass = np.full(50, 1 / 50)
reg = 1e-4 * C.max()
if ot:
    plan = attempt(lambda: ot.sinkhorn(mass, mass, C, reg))
    sums = [plan] if isinstance(plan, str) else [np.abs(plan.sum(k) - mass).sum() for k in (0, 1)]
    print("POT:      ", f"L1 errors of both sums {sums}")
result = transport.sinkhorn(mass, mass, C, reg)
low, high = result.bracket
print("kexue_num:", f"L1 error {result.marginal_error:.1e}, bracket [{low:.6f}, {high:.6f}]")

# %%
# **gaussian_kde: mass where there can be none.** Waiting times are positive. A kernel estimate
# gives a tenth of its mass to negative ones, and next to none to long ones.

from scipy.stats import gaussian_kde

waits = np.random.default_rng(0).exponential(1.0, 1000)
kernel, fitted = gaussian_kde(waits), FourierDensity(support="positive").fit(waits)
print(f"SciPy:     below 0 {kernel.integrate_box_1d(-np.inf, 0):.3f}", end=", ")
print(f"between 30 and 31 {kernel.integrate_box_1d(30, 31):.1e}")
print(f"kexue_num: below 0 {fitted.cdf(0.0):.3f}, between 30 and 31 {fitted.bin_prob(30, 31):.1e}")

# %%
# **KDEpy: another unit, another bandwidth.** The improved Sheather-Jones bandwidth should follow
# the samples when they are given in other units.

kdepy = optional("KDEpy")
rng = np.random.default_rng(0)
mixed = np.concatenate([rng.normal(0, 1, 500), rng.normal(0, 0.05, 500)])


def bandwidth(unit):
    estimate = kdepy.FFTKDE(bw="ISJ").fit(mixed * unit)
    estimate(2**12)
    return float(estimate.bw / unit)


if kdepy:
    print("KDEpy:    ", ", ".join(f"{bandwidth(unit):.5f}" for unit in (0.01, 1, 100)))
peaks = [FourierDensity(base="warp").fit(mixed * u).pdf(0) * u for u in (0.01, 1, 100)]
print("kexue_num:", ", ".join(f"{peak:.5f}" for peak in peaks), "(height at 0)")

# %%
# **sentencepiece: a seed that does not repeat.** Sampling in two threads after the same seed,
# twice: the seed belongs to the process, and who draws first is chance. Here a sample belongs to
# the seed and its line, whatever the number of threads.

from concurrent.futures import ThreadPoolExecutor

corpus = ["the watching of the watch", "a matching match", "the catch of the hatching"] * 20
tokenizer = UnigramTokenizer.train(corpus, 36)
lines = ["watching the matching of the hatch"] * 8
sentencepiece = optional("sentencepiece")
if sentencepiece:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(f"{folder}/model", format="sentencepiece")
        processor = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/model")

    def drawn(line):
        return processor.encode(line, enable_sampling=True, alpha=0.3, nbest_size=-1)

    def twice():
        for _ in range(2):
            sentencepiece.set_random_generator_seed(7)
            with ThreadPoolExecutor(2) as pool:
                yield list(pool.map(drawn, lines))

    first, second = twice()
    print("sentencepiece: the same draws?", first == second)
draws = [tokenizer.sample_batch(lines, 0.3, rng=7, workers=n) for n in (1, 2)]
print("kexue_num:     the same draws?", np.array_equal(draws[0].ids, draws[1].ids))

# %%
# The first case again, over tolerances: error divided by what was asked for. Above the line a
# tolerance is missed.

tolerances = np.logspace(-3, -9, 7)
theirs, ours = [], []
for tol in tolerances:
    k, idx, proj = sli.interp_decomp(A, tol, rng=1)
    made = A[:, idx[:k]] @ sli.reconstruct_interp_matrix(idx, proj)
    theirs.append(np.linalg.norm(A - made, 2) / norm / tol)
    found = lowrank.interp_decomp(A, tol=tol, rng=1)
    ours.append(np.linalg.norm(A - found.reconstruct(), 2) / norm / tol)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.loglog(tolerances, theirs, "o-", label="SciPy, default")
ax.loglog(tolerances, ours, "s-", label="kexue_num")
ax.axhline(1, color="0.3", lw=1)
ax.set(xlabel="tolerance", ylabel="error / tolerance")
ax.legend(frameon=False)
plt.show()
