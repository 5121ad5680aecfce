"""PyTorch at the network operations of the benchmark (src/nn/bench-cases.ts); float32, on the CPU or a CUDA device.

Prints one JSON document: {name, version, threads, device, results: [{op, method, milliseconds: {median, min, max,
samples}}]}, or {"skip": why} where PyTorch cannot be imported. Usage: python3 torch_nn.py [--seconds 3] [--ops a,b]
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time

try:
    import torch
    from torch import nn
except ImportError as error:
    print(json.dumps({"skip": f"torch cannot be imported: {error}"}))
    sys.exit(0)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)


def mlp(inputs, depth=5, width=512, outputs=10):
    layers = []
    for l in range(depth):
        layers += [nn.Linear(inputs if l == 0 else width, width, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs, bias=False))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.main(x) + self.short(x))


def resnet18():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, outputs in enumerate([64, 128, 256, 512]):
        layers += [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), mlp(512))


def sample(call, seconds):
    """Milliseconds of runs that follow each other, after one that does not count."""
    call()
    samples = []
    started = time.perf_counter()
    while len(samples) < 3 or (time.perf_counter() - started < seconds and len(samples) < 200):
        begin = time.perf_counter()
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        samples.append(1000 * (time.perf_counter() - begin))
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples), "samples": samples}


def step(model, x, seconds):
    model = model.to(DEVICE).train()
    x = x.to(DEVICE)
    target = -torch.ones(len(x), 10, device=DEVICE)
    target[torch.arange(len(x)), torch.arange(len(x)) % 10] = 1
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def run():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.mse_loss(model(x), target).backward()
        optimizer.step()

    return sample(run, seconds)


def probe_autograd(model, x):
    """One backward pass for each output, to the results of all hidden layers at once."""
    hidden = []
    y = x
    for i, layer in enumerate(model):
        y = layer(y)
        if isinstance(layer, nn.Linear) and i < len(model) - 1:
            hidden.append(y)
    agops = [0] * len(hidden)
    for c in range(y.shape[1]):
        gradients = torch.autograd.grad(y[:, c].sum(), hidden, retain_graph=True)
        agops = [agop + g.T @ g / len(x) for agop, g in zip(agops, gradients)]
    return agops


def probe_jacrev(model, x):
    """vmap over samples of jacrev, a hidden layer at a time."""
    from torch.func import jacrev, vmap

    agops = []
    y = x
    for i, layer in enumerate(model):
        y = layer(y)
        if isinstance(layer, nn.Linear) and i < len(model) - 1:
            jacobians = vmap(jacrev(model[i + 1 :]))(y.detach()).flatten(0, 1)
            agops.append(jacobians.T @ jacobians / len(x))
    return agops


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--ops", default="mlp-step,resnet18-step,agop-probe")
    options = parser.parse_args()
    results = []
    for op in options.ops.split(","):
        if op == "mlp-step":
            found = step(mlp(784), torch.randn(128, 784), options.seconds)
            results.append({"op": op, "method": "autograd", "milliseconds": found})
        elif op == "resnet18-step":
            found = step(resnet18(), torch.randn(128, 3, 32, 32), options.seconds)
            results.append({"op": op, "method": "autograd", "milliseconds": found})
        elif op == "agop-probe":
            model = mlp(784).to(DEVICE)
            for parameter in model.parameters():
                parameter.requires_grad_(False)
            x = torch.randn(512, 784, device=DEVICE, requires_grad=True)
            found = sample(lambda: probe_autograd(model, x), options.seconds)
            results.append({"op": op, "method": "autograd, a loop over outputs", "milliseconds": found})
            if importlib.util.find_spec("torch.func") is None:
                continue
            found = sample(lambda: probe_jacrev(model, x), options.seconds)
            results.append({"op": op, "method": "vmap(jacrev)", "milliseconds": found})
        else:
            sys.exit(f"torch_nn.py: unknown operation {op}")
    print(
        json.dumps(
            {
                "name": "torch",
                "version": torch.__version__,
                "threads": torch.get_num_threads(),
                "device": DEVICE,
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()
