"""Every public function and how to call it, once, for the tests that walk all of them.

`calls(n)` gives by name a valid call whose sizes grow with n. Tests replace an argument, call from
many threads, or compare the results of two settings.
"""

import dataclasses
import importlib
import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kexue_num import density, interpolative, lattice, lowrank, simplex, transport
from kexue_num.lattice import trellis

ROOT = Path(__file__).resolve().parents[1]
AREAS = (
    "density",
    "interpolative",
    "lattice",
    "lattice.trellis",
    "lowrank",
    "simplex",
    "transport",
)
# The classes that compute; all others hold results.
CLASSES = ("FourierDensity", "FourierDensity2D", "Lattice", "UnigramTokenizer")
# What draws figures, writes files or reads a file's format has tests of its own.
ELSEWHERE = {
    "density.FourierDensity.plot",
    "density.FourierDensity.to_scipy",
    "density.FourierDensity.get_params",
    "density.FourierDensity.set_params",
    "density.FourierDensity.from_bytes",
    "lattice.UnigramTokenizer.from_bytepiece",
    "lattice.UnigramTokenizer.from_huggingface",
    "lattice.UnigramTokenizer.from_sentencepiece",
    "lattice.UnigramTokenizer.save",
}


@dataclasses.dataclass(frozen=True)
class Call:
    """A function, the arrays it takes and its other arguments, all valid."""

    function: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    options: dict[str, Any]

    def __call__(self, **changes):
        return self.function(**{**self.arrays, **self.options, **changes})


def public_names():
    """The dotted names of all functions, of the computing classes and of their methods."""
    for area in AREAS:
        module = importlib.import_module(f"kexue_num.{area}")
        for name in module.__all__:
            value = getattr(module, name)
            if name in CLASSES:
                yield f"{area}.{name}"
                for method, _ in inspect.getmembers(value, callable):
                    if not method.startswith("_"):
                        yield f"{area}.{name}.{method}"
            elif inspect.isfunction(value):
                yield f"{area}.{name}"


def flatten(result):
    """All numbers and texts in a result, in order, with what they are called."""
    if dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            for path, value in flatten(getattr(result, field.name)):
                yield f".{field.name}{path}", value
    elif isinstance(result, (tuple, list)):
        for index, part in enumerate(result):
            for path, value in flatten(part):
                yield f"[{index}]{path}", value
    elif hasattr(result, "tocoo"):
        yield from flatten((result.toarray(),))
    elif isinstance(result, (np.ndarray, np.generic, float, complex)):
        yield "", np.asarray(result)
    elif isinstance(result, (int, str, bytes, type(None))):
        yield "", result
    elif isinstance(result, density.FourierDensity):
        yield from flatten((result.coef_, result.loc_, result.scale_))
    elif isinstance(result, density.FourierDensity2D):
        yield from flatten((result.pdf(np.array([[0.5, 0.5]])), result.gap_))
    elif isinstance(result, lattice.Lattice):
        yield from flatten((result.n_nodes, result.log_partition(), result.viterbi().edges))
    elif isinstance(result, lattice.UnigramTokenizer):
        yield from flatten((result.pieces, result.scores))


def same(first, second):
    """Whether two results agree to the last bit."""
    pairs = list(flatten(first)), list(flatten(second))
    if [path for path, _ in pairs[0]] != [path for path, _ in pairs[1]]:
        return False
    return all(
        a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b
        for (_, a), (_, b) in zip(*pairs, strict=True)
    )


def calls(n):
    """The table; sizes are about n."""
    table = {}
    for area, build in (
        ("density", _density),
        ("interpolative", _interpolative),
        ("lattice", _lattice),
        ("lattice", _tokenizer),
        ("lattice.trellis", _trellis),
        ("lowrank", _lowrank),
        ("simplex", _simplex),
        ("transport", _transport),
    ):
        for name, (function, arrays, options) in build(n).items():
            table[f"{area}.{name}"] = Call(function, arrays, options)
    return table


def _density(n):
    rng = np.random.default_rng(1)
    x = rng.normal(size=8 * n)
    fitted = density.FourierDensity(3, support="real").fit(x)
    other = density.FourierDensity(2, support="real", loc=fitted.loc_, scale=fitted.scale_).fit(x)
    plane = rng.normal(size=(8 * n, 2))
    fitted_plane = density.FourierDensity2D(2, rank=1, tol=1.0).fit(plane)
    begun = lambda: density.FourierDensity(3, base="normal", loc=0.0, scale=1.0)  # noqa: E731
    circle = density.FourierDensity.from_coefficients([0.3, 0.2j, 0.1], support="circle")
    points, levels = {"x": np.linspace(-2, 2, 4 * n)}, {"q": np.linspace(0.1, 0.9, 4 * n)}
    table = {
        "FourierDensity": (
            lambda **options: repr(density.FourierDensity(**options).fit(x)), {},
            {"order": 3, "smoothness": 0.0, "tol": 1e-9, "loc": None, "scale": None}),
        "FourierDensity.fit": (
            lambda x, sample_weight: density.FourierDensity(3).fit(x, sample_weight),
            {"x": x, "sample_weight": np.ones(x.size)}, {}),
        "FourierDensity.partial_fit": (
            lambda x, sample_weight: begun().partial_fit(x, sample_weight),
            {"x": x, "sample_weight": np.ones(x.size)}, {}),
        "FourierDensity.merge": (
            lambda: begun().partial_fit(x).merge(begun().partial_fit(x + 1)), {}, {}),
        "FourierDensity.from_coefficients": (
            density.FourierDensity.from_coefficients, {"a": np.array([0.3, 0.2j, 0.1])},
            {"support": "circle", "loc": 0.0}),
        "FourierDensity.from_pdf": (
            density.FourierDensity.from_pdf, {},
            {"f": lambda t: 1 + np.cos(t) / 2, "order": 2, "support": "circle", "tol": 1e-8}),
        "FourierDensity.expect": (fitted.expect, {}, {"f": np.cos}),
        "FourierDensity.bin_prob": (
            fitted.bin_prob, {"lo": np.linspace(-2, 0, n), "hi": np.linspace(0, 2, n)}, {}),
        "FourierDensity.kl": (fitted.kl, {}, {"other": other}),
        "FourierDensity.interval": (fitted.interval, {}, {"level": 0.9}),
        "FourierDensity.moment": (fitted.moment, {}, {"k": 1}),
        "FourierDensity.trig_moment": (circle.trig_moment, {}, {"n": 2}),
        "FourierDensity.rvs": (fitted.rvs, {}, {"size": n, "rng": 0}),
        "FourierDensity.pdf_derivative": (fitted.pdf_derivative, points, {"k": 2}),
        "FourierDensity2D": (
            lambda **options: repr(density.FourierDensity2D(**options).fit(plane)), {},
            {"order": 2, "rank": 1, "tol": 1.0, "max_iter": 10}),
        "FourierDensity2D.fit": (
            lambda x, sample_weight: density.FourierDensity2D(2, rank=1, tol=1.0).fit(
                x, sample_weight),
            {"x": plane, "sample_weight": np.ones(len(plane))}, {}),
        "FourierDensity2D.conditional": (fitted_plane.conditional, {}, {"given": 0.3, "axis": 0}),
        "FourierDensity2D.marginal": (fitted_plane.marginal, {}, {"axis": 1}),
        "FourierDensity2D.rvs": (fitted_plane.rvs, {}, {"size": n, "rng": 0}),
    }  # fmt: skip
    for name in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf", "score", "parameter_gradient"):
        table[f"FourierDensity.{name}"] = (getattr(fitted, name), points, {})
    for name in ("ppf", "isf"):
        table[f"FourierDensity.{name}"] = (getattr(fitted, name), levels, {})
    for name in ("entropy", "mean", "var", "std", "modes", "to_bytes"):
        table[f"FourierDensity.{name}"] = (getattr(fitted, name), {}, {})
    for name in ("pdf", "logpdf"):
        table[f"FourierDensity2D.{name}"] = (getattr(fitted_plane, name), {"x": plane[:n]}, {})
    return table


def _interpolative(n):
    rng = np.random.default_rng(2)
    A = rng.normal(size=(2 * n, 3)) @ rng.normal(size=(3, n))
    idx, proj = interpolative.interp_decomp(A, 2, rng=0)
    skeleton = interpolative.reconstruct_skel_matrix(A, 2, idx)
    matrix, parts = {"A": A}, {"idx": idx, "proj": proj}
    return {
        "interp_decomp": (interpolative.interp_decomp, matrix, {"eps_or_k": 2, "rng": 0}),
        "svd": (interpolative.svd, matrix, {"eps_or_k": 2, "rng": 0}),
        "estimate_rank": (interpolative.estimate_rank, matrix, {"eps": 1e-6, "rng": 0}),
        "estimate_spectral_norm": (
            interpolative.estimate_spectral_norm, matrix, {"its": 5, "rng": 0}),
        "estimate_spectral_norm_diff": (
            interpolative.estimate_spectral_norm_diff, {"A": A, "B": A + 1}, {"its": 5, "rng": 0}),
        "id_to_svd": (interpolative.id_to_svd, {"B": skeleton, **parts}, {}),
        "reconstruct_matrix_from_id": (
            interpolative.reconstruct_matrix_from_id, {"B": skeleton, **parts}, {}),
        "reconstruct_interp_matrix": (interpolative.reconstruct_interp_matrix, parts, {}),
        "reconstruct_skel_matrix": (
            interpolative.reconstruct_skel_matrix, {"A": A, "idx": idx}, {"k": 2}),
    }  # fmt: skip


def _lattice(n):
    rng = np.random.default_rng(3)
    nodes = 4 * n
    sources = np.repeat(np.arange(nodes - 1), 2)
    targets = np.minimum(sources + np.tile([1, 2], nodes - 1), nodes - 1)
    scores = rng.normal(size=sources.size)
    edges = {"sources": sources, "targets": targets, "scores": scores}
    paths = lattice.Lattice.from_edges(**edges)
    values = {"values": rng.normal(size=scores.size)}
    alpha, draws = {"alpha": 0.7}, {"alpha": 0.7, "rng": 0}
    Lattice = lattice.Lattice
    return {
        "Lattice": (Lattice, {"indptr": np.minimum(2 * np.arange(nodes + 1), scores.size),
                              "targets": targets, "scores": scores}, {}),
        "Lattice.from_edges": (Lattice.from_edges, edges, {"n_nodes": nodes}),
        "Lattice.count_paths": (paths.count_paths, {}, {}),
        "Lattice.cut_vertices": (paths.cut_vertices, {}, {}),
        "Lattice.entropy": (paths.entropy, {}, alpha),
        "Lattice.expected": (paths.expected, values, alpha),
        "Lattice.variance": (paths.variance, values, alpha),
        "Lattice.hvp": (paths.hvp, {"direction": values["values"]}, alpha),
        "Lattice.iter_best": (
            lambda alpha: list(itertools.islice(paths.iter_best(alpha=alpha), 3)),
            {}, alpha),
        "Lattice.kbest": (paths.kbest, {}, {"k": 3, **alpha}),
        "Lattice.log_partition": (paths.log_partition, {}, alpha),
        "Lattice.log_prob": (lambda alpha: paths.log_prob(paths.kbest(2), alpha=alpha), {}, alpha),
        "Lattice.marginals": (paths.marginals, {}, alpha),
        "Lattice.prune": (paths.prune, {}, {"threshold": 0.01, **alpha}),
        "Lattice.sample": (paths.sample, {}, {"size": 8 * n, **draws}),
        "Lattice.sample_without_replacement": (
            paths.sample_without_replacement, {}, {"size": 3, **draws}),
        "Lattice.viterbi": (paths.viterbi, {}, alpha),
    }  # fmt: skip


def _tokenizer(n):
    pieces = ["a", "b", "c", "ab", "bc", "abc", "ca", "啊"]
    scores = -np.arange(1.0, 9.0)
    tokenizer = lattice.UnigramTokenizer.from_pieces(pieces, scores)
    text = "abcab啊ca" * n
    texts = [text[start:] for start in range(min(n, 20))]
    draws = {"alpha": 0.7, "rng": 0}
    ids = tokenizer.encode(text)
    table = {
        "from_pieces": (lattice.UnigramTokenizer.from_pieces, {"scores": scores},
                        {"pieces": pieces, "unknown_score": -20.0}),
        "train": (lattice.UnigramTokenizer.train, {},
                  {"corpus": ["abab abcab", "bcab cab abc", "acb ab"] * n, "vocab_size": 12}),
        "decode": (tokenizer.decode, {"ids": np.asarray(ids)}, {}),
        "decode_batch": (tokenizer.decode_batch, {}, {"rows": [ids, ids[:1]]}),
        "encode": (tokenizer.encode, {}, {"text": text}),
        "encode_batch": (tokenizer.encode_batch, {}, {"texts": texts}),
        "entropy": (tokenizer.entropy, {}, {"text": text, "alpha": 0.7}),
        "log_marginal": (tokenizer.log_marginal, {}, {"text": text, "alpha": 0.7}),
        "marginals": (tokenizer.marginals, {}, {"text": text, "alpha": 0.7}),
        "lattice": (tokenizer.lattice, {}, {"text": text}),
        "nbest": (tokenizer.nbest, {}, {"text": text, "k": 3}),
        "nbest_batch": (tokenizer.nbest_batch, {}, {"texts": texts, "k": 3}),
        "sample": (tokenizer.sample, {}, {"text": text, "size": 2, **draws}),
        "sample_batch": (tokenizer.sample_batch, {}, {"texts": texts, "size": 2, **draws}),
        "sample_without_replacement": (
            tokenizer.sample_without_replacement, {}, {"text": text, "k": 3, **draws}),
        "forget": (tokenizer.forget, {}, {}),
    }  # fmt: skip
    return {
        "UnigramTokenizer": table["from_pieces"],
        **{f"UnigramTokenizer.{name}": entry for name, entry in table.items()},
    }


def _trellis(n):
    rng = np.random.default_rng(4)
    emissions, transitions = rng.normal(size=(n, n, 3)), rng.normal(size=(3, 3))
    ends = {"start": rng.normal(size=3), "stop": rng.normal(size=3)}
    lengths = np.full(n, n)
    arrays = {"emissions": emissions, "transitions": transitions, **ends, "lengths": lengths}
    return {
        "crf_nll": (trellis.crf_nll, {**arrays, "labels": rng.integers(0, 3, (n, n))},
                    {"return_grad": True}),
        **{name: (getattr(trellis, name), arrays, {"domain": "log"})
           for name in ("forward_backward", "log_partition", "marginals", "viterbi")},
        "kbest": (trellis.kbest, arrays, {"k": 3}),
        "sample": (trellis.sample, arrays, {"size": 3, "rng": 0}),
        "viterbi_semi_markov": (
            trellis.viterbi_semi_markov,
            {"segment_scores": rng.normal(size=(n, 2, 3)), "transitions": transitions}, {}),
    }  # fmt: skip


def _lowrank(n):
    rng = np.random.default_rng(5)
    A = rng.normal(size=(2 * n, 4)) @ rng.normal(size=(4, n)) + 1e-3 * rng.normal(size=(2 * n, n))
    matrix, drawn, ranked = {"A": A}, {"rank": 3, "rng": 0}, {"rank": 3}
    pair = {"X": A, "Y": A.T}
    return {
        "best_left_factor": (lowrank.best_left_factor, {"M": A, "B": A[:3]}, {"rtol": None}),
        "best_right_factor": (lowrank.best_right_factor, {"M": A, "A": A[:, :3]}, {"rtol": None}),
        "cr_matmul": (lowrank.cr_matmul, pair, {"method": "iid", **drawn}),
        "cr_probabilities": (lowrank.cr_probabilities, pair, {}),
        "deim": (lowrank.deim, {"V": np.linalg.qr(A[:, :3])[0]}, {}),
        "leverage_scores": (lowrank.leverage_scores, matrix, {"ridge": None, **drawn}),
        "pinv": (lowrank.pinv, matrix, {"ridge": 0.0}),
        "pivoted_qr": (lowrank.pivoted_qr, matrix, ranked),
        "strong_rrqr": (lowrank.strong_rrqr, matrix, {"f": 2.0, **ranked}),
        "truncated_svd": (lowrank.truncated_svd, matrix, {"max_iter": 20, **drawn}),
        "interp_decomp": (lowrank.interp_decomp, matrix, {"confidence": 0.999, **drawn}),
        "two_sided_id": (lowrank.two_sided_id, matrix, drawn),
        "cur": (lowrank.cur, matrix, {"n_rows": 4, **drawn}),
        "column_subset": (lowrank.column_subset, matrix, {"z_bound": 2.0, **drawn}),
    }  # fmt: skip


def _simplex(n):
    rng = np.random.default_rng(6)
    x, g = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    rows, both = {"x": x}, {"x": x, "g": g}
    gradient = {"p": simplex.sparsemax(x), "g": g}
    warm, labels = {"temperature": 0.8}, rng.integers(0, n, n)
    Q = x @ x.T / n
    square = lambda p: (float(p @ p) / 2, p)  # noqa: E731
    out = {
        "entmax": (simplex.entmax, rows, {"alpha": 1.7, **warm}),
        "entmax_vjp": (simplex.entmax_vjp, gradient, {"alpha": 1.7, "alpha_grad": True}),
        "fenchel_young_loss": (simplex.fenchel_young_loss, {"x": x, "target": labels},
                               {"return_grad": True, "margin": 0.1, **warm}),
        "isotonic": (simplex.isotonic, {"x": x, "weights": np.abs(g) + 0.1}, {}),
        "minimize": (simplex.minimize, {"p0": np.full(n, 1 / n)},
                     {"fun": square, "max_iter": 200, "tol": 1e-4}),
        "multilabel_loss": (simplex.multilabel_loss, {"scores": x, "labels": g > 0},
                            {"gamma": 1.5, "return_grad": True}),
        "normmax": (simplex.normmax, rows, {"alpha": 2.0, **warm}),
        "perturbmax": (simplex.perturbmax, rows, {"noise": "normal", "n_nodes": 30, **warm}),
        "project_birkhoff": (simplex.project_birkhoff, {"X": x}, {"max_iter": 200}),
        "project_l1_ball": (simplex.project_l1_ball, rows, {"radius": 1.5}),
        "project_linf_ball": (simplex.project_linf_ball, rows, {"radius": 0.5}),
        "project_l1inf_ball": (simplex.project_l1inf_ball, rows, {"radius": 1.5}),
        "project_permutahedron": (simplex.project_permutahedron, {"x": x, "w": g[0]}, {}),
        "project_simplex": (
            simplex.project_simplex,
            {"x": x, "weights": np.abs(g) + 0.1, "lower": np.zeros(n), "upper": np.ones(n)},
            {"radius": 0.3}),
        "project_spectrahedron": (simplex.project_spectrahedron, {"X": x + x.T}, {"radius": 1.0}),
        "simplex_least_squares": (simplex.simplex_least_squares, {"A": x, "b": g[0]},
                                  {"radius": 1.0, "max_iter": 10000}),
        "simplex_qp": (simplex.simplex_qp, {"Q": Q, "c": g[0]}, {"radius": 1.0}),
        "soft_topk": (simplex.soft_topk, rows, {"k": 2, **warm}),
        "soft_topk_vjp": (simplex.soft_topk_vjp, {"p": simplex.soft_topk(x, 2), **both}, {"k": 2}),
        "sparse": (simplex.sparse, rows, warm),
        "taylor_softmax": (simplex.taylor_softmax, rows, {"order": 2, **warm}),
        "taylor_softmax_vjp": (simplex.taylor_softmax_vjp, both, {"order": 2}),
        "threshold": (simplex.threshold, rows, warm),
        "topk_softmax": (simplex.topk_softmax, rows, {"k": 2, **warm}),
        "topp_softmax": (simplex.topp_softmax, rows, {"p": 0.7, **warm}),
        "wasserstein_flow": (
            simplex.wasserstein_flow, {"particles": x},
            {"gradient": lambda points: points, "step": 0.1, "n_steps": 3}),
    }  # fmt: skip
    for name in ("softmax", "log_softmax", "logsumexp", "sparsemax", "entmax15"):
        out[name] = (getattr(simplex, name), {**rows, "where": g > -9}, warm)
    for name in ("softmax_vjp", "sparsemax_vjp"):
        out[name] = (getattr(simplex, name), gradient, warm)
    for name in ("soft_rank", "soft_sort"):
        out[name] = (getattr(simplex, name), rows, {"strength": 0.5})
        out[f"{name}_vjp"] = (getattr(simplex, f"{name}_vjp"), both, {"strength": 0.5})
    return out


def _transport(n):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n + 1, 2))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n + 1))
    C = ((x[:, None] - y[None]) ** 2).sum(-1)
    square = ((x[:, None] - x[None]) ** 2).sum(-1)
    weights, smooth = {"a": a, "b": b}, {"reg": 0.3, "tol": 1e-6, "max_iter": 500}
    several = rng.dirichlet(np.ones(n), size=3)
    clouds = {"x": x, "y": y, **weights}
    return {
        "assignment": (transport.assignment, {"C": C}, {}),
        "barycenter": (transport.barycenter,
                       {"A": several, "C": square, "weights": np.ones(3) / 3}, smooth),
        "demd": (transport.demd, {"p": several, "tau": several[::-1], "embeddings": x}, {}),
        "embedding_cost": (transport.embedding_cost, {"embeddings": x}, {}),
        "emd": (transport.emd, {**weights, "C": C}, {"max_iter": 100000}),
        "emd_1d": (transport.emd_1d, {"x": x[:, 0], "y": y[:, 0], **weights},
                   {"p": 2, "return_plan": True}),
        "emo_loss": (transport.emo_loss,
                     {"logits": rng.normal(size=(n, n)), "labels": rng.integers(0, n, n),
                      "embeddings": x}, {"return_grad": True}),
        "partial": (transport.partial, {**weights, "C": C}, {"mass": 0.5}),
        "round_plan": (transport.round_plan, {"P": np.exp(-C), **weights}, {}),
        "sinkhorn": (transport.sinkhorn, {**weights, "C": C}, smooth),
        "sinkhorn_batch": (transport.sinkhorn_batch,
                           {"A": several, "B": several[::-1], "C": square}, smooth),
        "sinkhorn_divergence": (transport.sinkhorn_divergence, clouds, smooth),
        "sinkhorn_points": (transport.sinkhorn_points, clouds, smooth),
        "sliced": (transport.sliced, {"x": x, "y": y}, {"n_projections": 8, "rng": 0}),
        "unbalanced": (transport.unbalanced, {**weights, "C": C}, {"reg_m": 1.0, **smooth}),
    }  # fmt: skip
