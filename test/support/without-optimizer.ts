/**
 * Has lavapipe compile without its optimiser in this process: for kernels that it runs in tests alone, since GPUs get them and
 * it does not, the optimiser is most of the time. Before the GPU is opened. Other drivers do not read it.
 */
export function withoutOptimizer(): void {
  process.env.GALLIVM_PERF = 'nopt';
}
