"""PyTorch on the CPU or, where it has one, on a CUDA device, at the work of `deep-rfm bench`; float32, TF32 off."""

import os
import sys

import numpy as np
import torch

import method
import tabular
import torch_nn
from protocol import blas_of_torch, cores, once, sample, serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# Rows of a prediction whose kernel values are made at once.
BATCH = 1000 if DEVICE == "cpu" else 10_000

# Seconds until a GPU's clock has risen, as ours is kept busy before the first sample (src/runtime/clock.ts).
WARM = 0.3 if DEVICE == "cuda" else 0


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def run(name, job, call, flops=None):
    def finished():
        call()
        wait()

    entry = {"method": name, "samples": sample(job, finished, WARM)}
    return [entry if flops is None else {**entry, "flops": flops}]


def uniform(*shape, seed=1):
    return (2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 1).to(DEVICE)


def unit_rows(n, d):
    x = uniform(n, d)
    return x / torch.linalg.norm(x, dim=1, keepdim=True)


def definite(n):
    """I + R with symmetric random R of norm below one half."""
    r = uniform(n, n, seed=4) * (0.43 / n**0.5)
    return torch.eye(n, device=DEVICE) + torch.tril(r) + torch.tril(r, -1).T


def given(job, name):
    return torch.from_numpy(np.load(job["arrays"][name])).to(DEVICE)


def gemm(job):
    d = job["dimensions"]
    a, b = uniform(d["m"], d["k"]), uniform(d["k"], d["n"], seed=2)
    if d["form"] == "NT":
        return run("a @ b.T", job, lambda: a @ b.T)
    if d["form"] == "TN":
        return run("a.T @ b", job, lambda: a.T @ b)
    return run("a @ b", job, lambda: a @ b)


def syrk(job):
    a = uniform(job["dimensions"]["n"], job["dimensions"]["k"], seed=3)
    return run("a @ a.T", job, lambda: a @ a.T)


def kernel_matrix(job):
    d = job["dimensions"]
    x = unit_rows(d["n"], d["d"])
    return run("cdist and exp", job, lambda: torch.exp(-torch.cdist(x, x) / d["bandwidth"]))


def cholesky(job):
    a = definite(job["dimensions"]["n"])
    return run("linalg.cholesky", job, lambda: torch.linalg.cholesky(a))


def trsm(job):
    d = job["dimensions"]
    l, b = torch.linalg.cholesky(definite(d["n"])), uniform(d["n"], d["m"], seed=5)
    return run("linalg.solve_triangular", job, lambda: torch.linalg.solve_triangular(l, b, upper=False))


def agop_einsum(xp, x, alpha, weights):
    """The explicit gradients with the sum over rows as an einsum."""
    gradients = torch.einsum("ij,jc,jd->icd", weights, alpha, x) - (weights @ alpha)[:, :, None] * x[:, None, :]
    return torch.einsum("icd,ice->de", gradients, gradients) / len(x)


def agop_batches(xp, x, alpha, weights, size=10):
    """The explicit gradients summed row by row in small batches, the order of the authors' published code."""
    n, d = x.shape
    outputs = alpha.shape[1]
    weighted = (alpha[:, :, None] * x[:, None, :]).reshape(n, outputs * d)
    gradients = (weights @ weighted).reshape(n, outputs, d) - (weights @ alpha)[:, :, None] * x[:, None, :]
    total = torch.zeros(d, d, device=x.device)
    for first in range(0, n, size):
        part = gradients[first : first + size]
        total += (part.transpose(1, 2) @ part).sum(0)
    return total / n


def agop(job):
    x, alpha, weights = given(job, "x"), given(job, "alpha").T.contiguous(), given(job, "weights")
    jacobian, gram = method.jacobian_flops(x, alpha.T), method.gram_flops(x, alpha.T)
    forms = [
        ("explicit Jacobian", method.agop_jacobian, jacobian),
        ("einsum", agop_einsum, jacobian),
        ("Gram space", method.agop_gram, gram),
    ]
    runs = []
    for name, form, flops in forms:
        runs += run(name, job, lambda: form(torch, x, alpha, weights), flops)
    return runs


def sqrt_psd(job):
    m = given(job, "m")
    try:
        return run("linalg.eigh", job, lambda: method.sqrt_psd(torch, m))
    except RuntimeError:
        # PyTorch 1.13 asks LAPACK for too small a workspace in float32 where the matrix is large.
        wide = m.double()
        return run("linalg.eigh in float64", job, lambda: method.sqrt_psd(torch, wide))


def features(job):
    d = job["dimensions"]
    x, w = unit_rows(d["n"], d["d"]), uniform(d["width"], d["d"], seed=7)
    return run("relu(x @ w.T)", job, lambda: torch.relu(x @ w.T))


def deep_rfm(job):
    x, labels = np.load(job["arrays"]["x"]), np.load(job["arrays"]["labels"])

    def whole(agop_form):
        curve = method.deep_rfm(
            torch,
            x,
            labels,
            job["dimensions"],
            np.float32,
            torch.linalg.solve,
            agop_form,
            lambda a: torch.from_numpy(np.ascontiguousarray(a)).to(DEVICE),
            lambda a: a.cpu().numpy(),
        )
        wait()
        return curve

    forms = [
        ("authors' algorithm, gradients in one product", method.agop_jacobian),
        ("authors' algorithm, gradients in batches of rows as published", agop_batches),
    ]
    runs = []
    for name, form in forms:
        if DEVICE == "cuda":
            # The first run loads kernels and makes the libraries' handles.
            whole(form)
        samples, nc1 = once(lambda: whole(form))
        runs.append({"method": name, "samples": samples, "nc1": nc1})
    return runs


class Tables:
    """What a fit of a table is made of, in float32."""

    @staticmethod
    def distances(a, b):
        return torch.cdist(a, a if b is None else b)

    @staticmethod
    def median(distances):
        ids = torch.from_numpy(tabular.spaced(len(distances))).to(DEVICE)
        some = distances if len(ids) == len(distances) else distances[ids][:, ids]
        pairs = some[torch.ones_like(some, dtype=torch.bool).tril(-1)]
        return pairs.kthvalue(len(pairs) // 2 + 1).values.item()

    @staticmethod
    def solve(k, y):
        factor, failed = torch.linalg.cholesky_ex(k)
        return torch.linalg.solve(k, y) if failed else torch.cholesky_solve(y, factor)


def tables(job):
    def to_device(a):
        return torch.from_numpy(np.ascontiguousarray(a, dtype="f4")).to(DEVICE)

    return [tabular.run(torch, job, "float32", Tables, to_device, lambda a: a.cpu().numpy())]


def predict(job):
    d = job["dimensions"]
    x, centers, alpha = uniform(d["rows"], d["d"]), uniform(d["n"], d["d"], seed=2), uniform(d["n"], d["outputs"], seed=3)
    scale = -1 / d["bandwidth"]

    def batches(values):
        for rows in x.split(BATCH):
            values(rows).mul_(scale).exp_() @ alpha

    norms = (centers * centers).sum(1)

    def by_norms(rows):
        return torch.addmm((rows * rows).sum(1)[:, None] + norms, rows, centers.T, alpha=-2).clamp_(min=0).sqrt_()

    return run("cdist, exp, product, rows in batches", job, lambda: batches(lambda rows: torch.cdist(rows, centers))) + run(
        "norms and product, rows in batches", job, lambda: batches(by_norms)
    )


def ridges(job):
    """One ridge by Cholesky, many by the eigenvectors of the kernel matrix."""
    d = job["dimensions"]
    x, y = uniform(d["n"], d["d"]), uniform(d["n"], 1, seed=2)
    values = torch.tensor(d["values"], device=DEVICE)

    def kernel():
        return torch.cdist(x, x).mul_(-1 / d["bandwidth"]).exp_()

    def one():
        k = kernel()
        k.diagonal().add_(values[0])
        torch.cholesky_solve(y, torch.linalg.cholesky(k))

    def many():
        s, v = torch.linalg.eigh(kernel())
        v @ ((v.T @ y) / (s[:, None] + values))

    return run("Cholesky", job, one) if len(d["values"]) == 1 else run("eigh", job, many)


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_grad_enabled(False)
    # Where the user has not said otherwise, all cores: some builds start with one thread.
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() < cores():
        torch.set_num_threads(cores())
    torch.rand(64, 64) @ torch.rand(64, 64)  # loads the BLAS
    if DEVICE == "cuda":
        blas, where = f"cuBLAS, CUDA {torch.version.cuda}", torch.cuda.get_device_name(0)
    else:
        blas, where = blas_of_torch(torch), "CPU"
    library = {
        "name": "torch",
        "version": torch.__version__,
        "blas": blas,
        "threads": torch.get_num_threads() if DEVICE == "cpu" else None,
        "where": f"{where}, Python {sys.version.split()[0]}",
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
            **torch_nn.operations(DEVICE, run, once),
        },
    )
