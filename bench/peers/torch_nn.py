"""Training steps and AGOP of networks in PyTorch, as `deep-rfm bench` measures them (bench/cases/networks.ts)."""

import copy

import numpy as np
import torch
from torch import nn


def mlp(inputs, depth, width, outputs):
    layers = []
    for l in range(depth):
        layers += [nn.Linear(inputs if l == 0 else width, width, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(inputs if depth == 0 else width, outputs, bias=False))


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


def resnet18(channels, depth, width, outputs_of_head):
    layers = [nn.Conv2d(channels, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, outputs in enumerate([64, 128, 256, 512]):
        layers += [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), mlp(512, depth, width, outputs_of_head))


def load(model, job):
    """Puts the weights of the job, in order, into the model's layers; kernels come as out x height x width x in."""
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for number, layer in enumerate(layers):
        weights = torch.from_numpy(np.load(job["arrays"][f"weights{number}"]))
        with torch.no_grad():
            layer.weight.copy_(weights.permute(0, 3, 1, 2) if weights.dim() == 4 else weights)
    return model


def samples(job):
    x = torch.from_numpy(np.load(job["arrays"]["x"]))
    return x if x.dim() == 2 else x.permute(0, 3, 1, 2).contiguous()


def targets(x, outputs):
    """+1 at class i mod C for sample i, -1 elsewhere."""
    target = -torch.ones(len(x), outputs, dtype=x.dtype, device=x.device)
    target[torch.arange(len(x)), torch.arange(len(x)) % outputs] = 1
    return target


def step(model, x, outputs):
    """A function that does one step: squared error, backward, SGD with momentum."""
    target = targets(x, outputs)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def run():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.mse_loss(model(x), target).backward()
        optimizer.step()

    return run


# Samples whose step is checked down to the first layer.
CHECKED = 8


def gradient(model, x, outputs, number):
    """Gradient by the weights of the first or last layer, in double precision and the order they were given in."""
    model = copy.deepcopy(model).double().cpu()
    x = x.double().cpu()
    nn.functional.mse_loss(model(x), targets(x, outputs)).backward()
    found = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))][number].weight.grad
    return (found.permute(0, 2, 3, 1) if found.dim() == 4 else found).flatten().tolist()


def checked_gradients(model, x, outputs):
    """That by the read-out, and of a few samples that by the first convolution."""
    return [gradient(model, x, outputs, -1), gradient(model, x[:CHECKED], outputs, 0)]


def probe_loop(model, x):
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


def transforms():
    """vmap and jacrev: in PyTorch itself from 2.0 on, before it in functorch; None where they are missing."""
    try:
        from torch.func import jacrev, vmap
    except ImportError:
        try:
            from functorch import jacrev, vmap
        except ImportError:
            return None
    return vmap, jacrev


def probe_jacrev(model, x, vmap, jacrev):
    """vmap over samples of jacrev, a hidden layer at a time."""
    agops = []
    y = x
    for i, layer in enumerate(model):
        y = layer(y)
        if isinstance(layer, nn.Linear) and i < len(model) - 1:
            jacobians = vmap(jacrev(model[i + 1 :]))(y.detach()).flatten(0, 1)
            agops.append(jacobians.T @ jacobians / len(x))
    return agops


def operations(device, run, once):
    """The operations by name. run(name, job, call) times a call, once(call) times it and keeps what it returns."""

    def mlp_step(job):
        d = job["dimensions"]
        x = samples(job).to(device)
        model = load(mlp(d["channels"], d["depth"], d["width"], d["outputs"]), job).to(device)
        with torch.enable_grad():
            return run("autograd", job, step(model, x, d["outputs"]))

    def resnet18_step(job):
        d = job["dimensions"]
        x = samples(job).to(device)
        model = load(resnet18(d["channels"], d["depth"], d["width"], d["outputs"]), job).train().to(device)
        with torch.enable_grad():
            times, values = once(lambda: checked_gradients(model, x, d["outputs"]))
            reference = {"method": "autograd, float64", "samples": times, "values": values, "reference": True}
            return [reference, *run("autograd", job, step(model, x, d["outputs"]))]

    def agop_probe(job):
        d = job["dimensions"]
        model = load(mlp(d["channels"], d["depth"], d["width"], d["outputs"]), job).to(device)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        x = samples(job).to(device).requires_grad_(True)
        with torch.enable_grad():
            runs = run("autograd, a loop over outputs", job, lambda: probe_loop(model, x))
            found = transforms()
            if found is not None:
                runs += run("vmap(jacrev)", job, lambda: probe_jacrev(model, x, *found))
        return runs

    return {"mlp-step": mlp_step, "resnet18-step": resnet18_step, "agop-probe": agop_probe}
