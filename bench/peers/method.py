"""Deep RFM as its authors publish it, and its Gram-space form, for arrays of NumPy or PyTorch.

`xp` is the module; both spell these functions alike. Beaglehole, Sukenik, Mondelli, Belkin, NeurIPS 2024.
"""

import numpy as np

SMALL = 1e-10


def laplace(xp, x, bandwidth):
    """Kernel matrix of the rows of x with each other, and their distances, from norms and a product."""
    norms = (x * x).sum(1)
    squared = norms[:, None] + norms[None, :] - 2 * (x @ x.T)
    distances = xp.sqrt(xp.clip(squared, 0, None))
    distances[range(len(x)), range(len(x))] = 0
    return xp.exp(-distances / bandwidth), distances


def gradient_weights(xp, kernel, distances, bandwidth):
    """w with grad k(x, z) = w (z - x); 0 where the distance is."""
    near = distances < SMALL
    return xp.where(near, xp.zeros_like(kernel), kernel / (xp.where(near, xp.ones_like(kernel), distances) * bandwidth))


def agop_jacobian(xp, x, alpha, weights):
    """(1/n) sum J^T J from all n x C gradients at once, as the authors compute it. alpha: n x C."""
    n, d = x.shape
    outputs = alpha.shape[1]
    weighted = (alpha[:, :, None] * x[:, None, :]).reshape(n, outputs * d)
    gradients = (weights @ weighted).reshape(n, outputs, d) - (weights @ alpha)[:, :, None] * x[:, None, :]
    flat = gradients.reshape(n * outputs, d)
    return flat.T @ flat / n


def jacobian_flops(x, alpha):
    """As deep-rfm counts them: half of the symmetric product. alpha: C x n."""
    (n, d), outputs = x.shape, len(alpha)
    return 2 * n * n * outputs * d + n * outputs * d * d


def gram_flops(x, alpha):
    (n, d), outputs = x.shape, len(alpha)
    return n**3 + 4 * n * n * outputs + 2 * n * n * d + n * d * d


def agop_gram(xp, x, alpha, weights):
    """The same without Jacobians: n AGOP = X^T Q X."""
    n = len(x)
    s = weights @ alpha
    t = weights * (s @ alpha.T)
    q = (weights.T @ weights) * (alpha @ alpha.T) - t - t.T
    q[range(n), range(n)] += (s * s).sum(1)
    return x.T @ (q @ x) / n


def sqrt_psd(xp, m):
    values, vectors = xp.linalg.eigh(m)
    return (vectors * xp.sqrt(xp.clip(values, 0, None))) @ vectors.T


def collapse(x, labels, classes):
    """NC1 of the rows of x (NumPy)."""
    means = np.stack([x[labels == c].mean(0) for c in range(classes)])
    within = sum(((x[labels == c] - means[c]) ** 2).sum() for c in range(classes)) / len(x)
    between = ((means - means.mean(0)) ** 2).sum() / classes
    return float(within / between)


def philox(count, layer, stream, seed):
    """Philox4x32-10: word e & 3 of the block with counter (e >> 2, layer, stream, 0), key seed."""
    mask = np.uint64(0xFFFFFFFF)
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    c = [block & mask, np.full_like(block, layer), np.full_like(block, stream), np.zeros_like(block)]
    key = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    for _ in range(10):
        first, second = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        high = np.uint64(32)
        c = [(second >> high) ^ c[1] ^ np.uint64(key[0]), second & mask, (first >> high) ^ c[3] ^ np.uint64(key[1]), first & mask]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, 1).reshape(-1)[:count]


def relu_weights(width, d, layer, seed):
    u = ((philox(width * d, layer, 0, seed) >> np.uint64(8)).astype("f8") + 0.5) * 2.0**-24
    return ((2 * u - 1) / np.sqrt(d)).reshape(width, d)


def prepared(x, labels, dtype):
    """Rows in class order, standardised (NumPy)."""
    order = np.argsort(labels, kind="stable")
    x, labels = x[order].astype("f8"), labels[order]
    mean, deviation = x.mean(0), x.std(0, ddof=1)
    x = np.divide(x - mean, deviation, out=np.zeros_like(x), where=deviation > 0)
    return x.astype(dtype), labels


def deep_rfm(xp, x, labels, dimensions, dtype, solve, agop, to_device=lambda a: a, to_host=lambda a: a):
    """NC1 at the three stages of each layer. solve(K, Y) -> alpha; agop: one of the two above."""
    classes, bandwidth = dimensions["outputs"], dimensions["bandwidth"]
    x, labels = prepared(x, labels, dtype)
    y = to_device(np.where(np.eye(classes)[labels] > 0, 1, -1).astype(dtype))
    x = to_device(x)
    n = len(x)
    curve = []
    for layer in range(dimensions["depth"]):
        x = x / xp.sqrt((x * x).sum(1))[:, None]
        kernel, distances = laplace(xp, x, bandwidth)
        weights = gradient_weights(xp, kernel, distances, bandwidth)
        kernel[range(n), range(n)] += dimensions["ridge"]
        m = agop(xp, x, solve(kernel, y), weights)
        projected = x @ sqrt_psd(xp, m / m.max())
        w = to_device(relu_weights(dimensions["width"], x.shape[1], layer, dimensions["seed"]).astype(dtype))
        features = xp.clip(projected @ w.T, 0, None)
        curve.append([collapse(to_host(stage), labels, classes) for stage in (x, projected, features)])
        x = features
    return curve
