"""xRFM at the fits of `deep-rfm bench tabular`, by its published interface; float32 as it computes."""

import contextlib
import importlib.metadata
import sys

import numpy as np
import torch
from xrfm import xRFM

import tabular
from protocol import blas_of_torch, serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def settings_of(dimensions):
    """Those of ours: M full, the same bandwidth, ridge and number of updates, and no early end."""
    return {
        "model": {
            "kernel": "l2",
            "exponent": 1.0,
            "bandwidth": dimensions["multiple"],
            "bandwidth_mode": "adaptive",
            "diag": False,
        },
        "fit": {
            "reg": dimensions["ridge"],
            "iters": dimensions["iterations"],
            "early_stop_rfm": False,
            "return_best_params": True,
            "verbose": False,
        },
    }


def fit_and_predict(job):
    arrays, dimensions = tabular.load(job), job["dimensions"]
    classes = dimensions["task"] == "classes"

    def given(name, dtype):
        return torch.as_tensor(np.asarray(arrays[name]), dtype=dtype, device=DEVICE)

    x, held = given("x", torch.float32), given("held", torch.float32)
    if classes:
        y, truth = given("labels", torch.int64), given("truth", torch.int64)
    else:
        y, truth = given("y", torch.float32), given("truth", torch.float32)[:, None]

    def fit():
        torch.manual_seed(0)
        own = {"rfm_params": settings_of(dimensions)} if dimensions["settings"] == "same" else {}
        model = xRFM(device=DEVICE, tuning_metric="logloss" if classes else "mse", **own)
        model.fit(x, y, held, truth)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return model

    samples, model = tabular.timed(job, fit)
    predicted = np.asarray(model.predict(given("test", torch.float32)))
    if classes:
        labels = predicted.reshape(-1).astype("i8")
        outputs = dimensions["outputs"]
        # The codes of the classes that were predicted, which decide as the labels do.
        predicted = labels[:, None] if outputs == 1 else np.eye(outputs)[labels]
    name = "xRFM, settings as ours" if dimensions["settings"] == "same" else "xRFM, its defaults"
    return [tabular.answer(name, samples, predicted.reshape(len(arrays["test"]), -1))]


def fits(job):
    try:
        # It prints its progress, and stdout is for answers.
        with contextlib.redirect_stdout(sys.stderr):
            return fit_and_predict(job)
    except Exception as error:  # noqa: BLE001 - whatever the library raises is told, and ends nothing else
        return f"{type(error).__name__}: {error}".splitlines()[0]


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.rand(64, 64) @ torch.rand(64, 64)  # loads the BLAS
    on_cpu = DEVICE == "cpu"
    library = {
        "name": "xrfm",
        "version": f"{importlib.metadata.version('xrfm')} (torch {torch.__version__})",
        "blas": blas_of_torch(torch) if on_cpu else f"cuBLAS, CUDA {torch.version.cuda}",
        "threads": torch.get_num_threads() if on_cpu else None,
        "where": f"{'CPU' if on_cpu else torch.cuda.get_device_name(0)}, Python {sys.version.split()[0]}",
    }
    serve(library, {"tabular": fits})
