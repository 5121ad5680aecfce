"""NumPy and SciPy at the work of `deep-rfm bench`, in float32; tables and a check of Deep RFM in float64."""

import io
import contextlib
import sys

import numpy as np
import scipy
import scipy.linalg as sl

import method
import tabular
from protocol import blas_in_use, once, sample, serve

F = np.float32

# Rows of a prediction whose kernel values are made at once.
BATCH = 1000


def uniform(*shape, seed=1):
    return (2 * np.random.default_rng(seed).random(shape, dtype=F) - 1).astype(F)


def unit_rows(n, d):
    x = uniform(n, d)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def definite(n):
    """I + R with symmetric random R of norm below one half."""
    r = uniform(n, n, seed=4) * F(0.43 / np.sqrt(n))
    return np.eye(n, dtype=F) + np.tril(r) + np.tril(r, -1).T


def run(name, job, call, flops=None):
    entry = {"method": name, "samples": sample(job, call)}
    return [entry if flops is None else {**entry, "flops": flops}]


def gemm(job):
    d = job["dimensions"]
    a, b = uniform(d["m"], d["k"]), uniform(d["k"], d["n"], seed=2)
    if d["form"] == "NT":
        return run("a @ b.T", job, lambda: a @ b.T)
    if d["form"] == "TN":
        return run("a.T @ b", job, lambda: a.T @ b)
    return run("a @ b", job, lambda: a @ b)


def syrk(job):
    d = job["dimensions"]
    a = uniform(d["n"], d["k"], seed=3)
    return run("a @ a.T", job, lambda: a @ a.T)  # NumPy sees that both are one and calls syrk


def kernel_matrix(job):
    d = job["dimensions"]
    x = unit_rows(d["n"], d["d"])
    return run("norms and product", job, lambda: method.laplace(np, x, F(d["bandwidth"]))[0])


def cholesky(job):
    a = definite(job["dimensions"]["n"])
    return run("scipy cho_factor", job, lambda: sl.cho_factor(a, lower=True, check_finite=False))


def trsm(job):
    d = job["dimensions"]
    l = np.asfortranarray(np.linalg.cholesky(definite(d["n"])))
    b = np.asfortranarray(uniform(d["n"], d["m"], seed=5))
    return run("scipy solve_triangular", job, lambda: sl.solve_triangular(l, b, lower=True, check_finite=False))


def agop(job):
    """Both ways, whichever of ours they are compared with: the authors' explicit Jacobians, and Gram space."""
    x, alpha, weights = (np.load(job["arrays"][name]) for name in ("x", "alpha", "weights"))
    jacobian = run("explicit Jacobian", job, lambda: method.agop_jacobian(np, x, alpha.T, weights), method.jacobian_flops(x, alpha))
    gram = run("Gram space", job, lambda: method.agop_gram(np, x, alpha.T, weights), method.gram_flops(x, alpha))
    return jacobian + gram


def sqrt_psd(job):
    m = np.load(job["arrays"]["m"])
    return run("eigh", job, lambda: method.sqrt_psd(np, m))


def features(job):
    d = job["dimensions"]
    x, w = unit_rows(d["n"], d["d"]), uniform(d["width"], d["d"], seed=7)
    return run("maximum(x @ w.T, 0)", job, lambda: np.maximum(x @ w.T, 0))


def solve(k, y):
    """Cholesky where float32 allows it, else LU as the authors have it."""
    try:
        return sl.cho_solve(sl.cho_factor(k, lower=True, check_finite=False), y)
    except np.linalg.LinAlgError:
        return np.linalg.solve(k, y)


def deep_rfm(job):
    x, labels = np.load(job["arrays"]["x"]), np.load(job["arrays"]["labels"])
    both = []
    for name, dtype in (("Gram space", np.float32), ("Gram space, float64", np.float64)):
        samples, nc1 = once(lambda: method.deep_rfm(np, x, labels, job["dimensions"], dtype, solve, method.agop_gram))
        both.append({"method": name, "samples": samples, "nc1": nc1, "reference": dtype is np.float64})
    return both


class Tables:
    """What a fit of a table is made of, in float64."""

    @staticmethod
    def distances(a, b):
        own = b is None
        b = a if own else b
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * (a @ b.T)
        found = np.sqrt(np.clip(squared, 0, None))
        if own:
            np.fill_diagonal(found, 0)
        return found

    @staticmethod
    def median(distances):
        ids = tabular.spaced(len(distances))
        pairs = distances[np.ix_(ids, ids)][np.tri(len(ids), k=-1, dtype=bool)]
        return np.partition(pairs, len(pairs) // 2)[len(pairs) // 2]

    @staticmethod
    def solve(k, y):
        return solve(k, y)


def tables(job):
    """The reference: the fit in float64."""
    entry = tabular.run(np, job, "float64", Tables, lambda a: a.astype("f8"), lambda a: a)
    return [entry, {**entry, "reference": True}] if job["dimensions"]["settings"] == "same" else [entry]


def predict(job):
    d = job["dimensions"]
    x, centers, alpha = uniform(d["rows"], d["d"]), uniform(d["n"], d["d"], seed=2), uniform(d["n"], d["outputs"], seed=3)
    bandwidth = F(d["bandwidth"])
    norms = (centers * centers).sum(1)

    def whole():
        for first in range(0, len(x), BATCH):
            rows = x[first : first + BATCH]
            k = rows @ (-2 * centers).T
            k += (rows * rows).sum(1)[:, None]
            k += norms
            np.sqrt(np.maximum(k, 0, out=k), out=k)
            k /= -bandwidth
            np.exp(k, out=k) @ alpha

    return run("norms and product, rows in batches", job, whole)


def ridges(job):
    """One ridge by Cholesky, many by the eigenvectors of the kernel matrix."""
    d = job["dimensions"]
    x, y, scale = uniform(d["n"], d["d"]), uniform(d["n"], 1, seed=2), F(-1 / d["bandwidth"])
    values = np.asarray(d["values"], dtype=F)

    def kernel():
        norms = (x * x).sum(1)
        return np.exp(scale * np.sqrt(np.maximum(norms[:, None] + norms - 2 * x @ x.T, 0)))

    def one():
        k = kernel()
        k[np.diag_indices(d["n"])] += values[0]
        solve(k, y)

    def many():
        s, v = np.linalg.eigh(kernel())
        v @ ((v.T @ y) / (s[:, None] + values))

    return run("Cholesky", job, one) if len(values) == 1 else run("eigh", job, many)


if __name__ == "__main__":
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        np.show_config()
    uniform(64, 64) @ uniform(64, 64)  # loads the BLAS
    blas, threads = blas_in_use(text.getvalue())
    library = {
        "name": "numpy",
        "version": f"{np.__version__} (scipy {scipy.__version__})",
        "blas": blas,
        "threads": threads,
        "where": f"Python {sys.version.split()[0]}",
    }
    serve(
        library,
        {
            "gemm": gemm,
            "syrk": syrk,
            "kernel-matrix": kernel_matrix,
            "cholesky": cholesky,
            "trsm": trsm,
            "agop-gram": agop,
            "agop-jacobian": agop,
            "sqrt-psd": sqrt_psd,
            "features": features,
            "deep-rfm": deep_rfm,
            "ridges": ridges,
            "predict": predict,
            "tabular": tables,
        },
    )
