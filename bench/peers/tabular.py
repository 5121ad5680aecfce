"""A Recursive Feature Machine for tables as `deep-rfm fit` fits it, for arrays of NumPy or PyTorch.

Kernel ridge regression with distances of M, M the average gradient outer product of the fit before over its largest
entry, the bandwidth a multiple of the median distance, and of all fits the one that scores best on validation rows.
Written from the published descriptions: Radhakrishnan, Beaglehole, Pandit, Belkin, Science 2024; Beaglehole,
Holzmueller, Radhakrishnan, Belkin, xRFM, 2025.
"""

import numpy as np

import method
from protocol import once, sample

# A fit that takes longer, in seconds, is timed once.
LONG = 5

# The median distance is that of so many rows, evenly spaced.
MEDIAN_ROWS = 5000


def spaced(n):
    count = min(n, MEDIAN_ROWS)
    return np.floor((np.arange(count) + 0.5) * n / count).astype("i8")


def validation_score(predicted, truth, classes):
    """Smaller is better. Of numbers the mean squared error, of classes the log loss. predicted: rows x outputs (NumPy)."""
    if not classes:
        return float(np.mean((predicted[:, 0] - truth) ** 2))
    parts = np.clip(predicted.astype("f8"), 0, 1)
    if parts.shape[1] == 1:
        shares = np.hstack([1 - parts, parts])
    else:
        total = parts.sum(1, keepdims=True)
        shares = np.divide(parts, total, out=np.full_like(parts, 1 / parts.shape[1]), where=total > 0)
    own = np.clip(shares[np.arange(len(truth)), truth], 1e-3, 1 - 1e-3)
    return float(-np.mean(np.log(own)))


def fit(xp, x, y, held, score, settings, ops):
    """The best fit, as a function that predicts rows.

    x: n x d, y: n x outputs, held: rows x d. score: of predictions of `held`, smaller is better. ops: `distances` of
    the rows of one matrix, or of two; `median` of a square matrix of distances; `solve`.
    """
    n = len(x)
    root, best, least = None, None, np.inf
    for iteration in range(settings["iterations"] + 1):
        rows = x if root is None else x @ root
        distances = ops.distances(rows, None)
        bandwidth = settings["multiple"] * ops.median(distances)
        kernel = xp.exp(distances / -bandwidth)
        last = iteration == settings["iterations"]
        weights = None if last else method.gradient_weights(xp, kernel, distances, bandwidth)
        del distances
        kernel[range(n), range(n)] += settings["ridge"]
        alpha = ops.solve(kernel, y)
        del kernel

        def predict(others, root=root, rows=rows, alpha=alpha, bandwidth=bandwidth):
            others = others if root is None else others @ root
            return xp.exp(ops.distances(others, rows) / -bandwidth) @ alpha

        found = score(predict(held))
        if found < least:
            best, least = predict, found
        if not last:
            agop = method.agop_jacobian(xp, rows, alpha, weights)
            if root is not None:
                agop = root @ agop @ root
            root = method.sqrt_psd(xp, agop / agop.max())
    return best


def timed(job, call):
    """Samples of a fit, and its result."""
    samples, result = once(call)
    return (sample(job, call) if samples[0] < 1000 * LONG else samples), result


def load(job):
    return {name: np.load(path) for name, path in job["arrays"].items()}


def answer(method_name, samples, predicted):
    """A run with the predictions of the test rows. predicted: rows x outputs (NumPy)."""
    if not np.isfinite(predicted).all():
        raise ArithmeticError("a prediction is not finite")
    return {"method": method_name, "samples": samples, "values": [predicted.reshape(-1).astype("f8").tolist()]}


def run(xp, job, name, ops, to_device, to_host):
    """Fits, and predicts the test rows."""
    arrays, settings = load(job), job["dimensions"]
    x, y, held, test = (to_device(arrays[part]) for part in ("x", "y", "held", "test"))
    classes = settings["task"] == "classes"

    def score(predicted):
        return validation_score(to_host(predicted), arrays["truth"], classes)

    samples, predict = timed(job, lambda: fit(xp, x, y, held, score, settings, ops))
    return answer(name, samples, to_host(predict(test)))
