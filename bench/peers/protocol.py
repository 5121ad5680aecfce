"""How a peer talks with the benchmark: one JSON document a line.

The first line says which library this is. Then each line on stdin is a job {id, op, dimensions, arrays, repeats,
seconds}, and each line on stdout its answer {id, runs: [{method, samples: [milliseconds, ...]}]} or {id, skip: why}.
A peer computes only while a job waits for its answer.
"""

import json
import os
import re
import sys
import time


def cores():
    """Threads this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count()


def blas_in_use(config):
    """Name of the BLAS that is loaded and its number of threads, as far as they can be found out.

    config: a text in which the library describes how it was built, the last resort.
    """
    try:
        from threadpoolctl import threadpool_info

        found = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
        if found:
            pool = found[0]
            name = " ".join(str(pool[key]) for key in ("internal_api", "version", "architecture") if pool.get(key))
            return name, pool.get("num_threads")
    except ImportError:
        pass
    return loaded_openblas() or (described(config), None)


def blas_of_torch(torch):
    """The same of PyTorch, whose wheels have MKL inside, where no list of loaded libraries shows it beside NumPy's BLAS."""
    config = torch.__config__.show()
    if torch.backends.mkl.is_available():
        version = re.search(r"Math Kernel Library Version (\S+?)-", config)
        return f"MKL {version[1]}" if version else "MKL"
    return blas_in_use(config)[0]


def loaded_openblas():
    """Asks the OpenBLAS that this process has loaded (Linux); None if there is none."""
    import ctypes

    try:
        with open("/proc/self/maps", encoding="utf8") as maps:
            paths = sorted(set(re.findall(r"(/\S*openblas\S*\.so\S*)", maps.read())))
    except OSError:
        return None
    for path in paths:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in ("", "scipy_"):
            for suffix in ("", "64_"):
                threads = getattr(library, f"{prefix}openblas_get_num_threads{suffix}", None)
                config = getattr(library, f"{prefix}openblas_get_config{suffix}", None)
                if threads is None or config is None:
                    continue
                config.restype = ctypes.c_char_p
                words = config().decode().split()
                return f"{' '.join(words[:2])} {words[-2] if len(words) > 3 else ''}".strip(), threads()
    return None


def described(config):
    for name in ("openblas", "mkl", "blis", "accelerate", "atlas"):
        if re.search(name, config, re.IGNORECASE):
            return f"{name} (from the build's description)"
    return "unknown BLAS"


def say(document):
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def sample(job, run, warm=0):
    """Milliseconds of each run on the wall, after at least one and `warm` seconds that warm up."""
    began = time.perf_counter()
    run()
    while time.perf_counter() - began < warm:
        run()
    samples = []
    began = time.perf_counter()
    while len(samples) < job["repeats"]:
        start = time.perf_counter()
        run()
        samples.append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - began > job["seconds"]:
            break
    return samples


def once(run):
    """A run that takes long enough to need no warming up: its milliseconds and its result."""
    start = time.perf_counter()
    result = run()
    return [1000 * (time.perf_counter() - start)], result


def serve(library, operations):
    """operations: name of an op -> function of a job that returns its runs, or a text saying why there are none."""
    say(library)
    for line in sys.stdin:
        job = json.loads(line)
        operation = operations.get(job["op"])
        if operation is None:
            say({"id": job["id"], "skip": "it is not written for this library"})
            continue
        try:
            runs = operation(job)
        except (MemoryError, ValueError, ArithmeticError, RuntimeError) as error:
            runs = f"{type(error).__name__}: {error}".splitlines()[0]
        say({"id": job["id"], "skip": runs} if isinstance(runs, str) else {"id": job["id"], "runs": runs})
