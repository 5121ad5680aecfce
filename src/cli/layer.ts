import type { Command } from 'commander';
import type { FeatureWeights } from '../ops/features/features.js';
import { formatPercent, formatSeconds } from '../report/format.js';
import { KNOWN_FILES } from '../report/known-files.js';
import { type OutputFile, publish } from '../report/publish.js';
import type { LayerResult } from '../rfm/types.js';
import type { AdapterSummary } from '../runtime/adapter.js';
import {
  adapterOption,
  commonOptions,
  featureOptions,
  gpuOption,
  integer,
  kernelOptions,
  overwriteOption,
  path,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { type LayerFlags, type LayerRequest, readLayerRequest } from './layer-request.js';
import { likeTargets } from './matrices.js';
import { withOutput } from './output.js';
import { layerRemark, undefinedRemark } from './run-progress.js';
import { scientific, type Terminal, terminalFor } from './terminal.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Examples:
  $ deep-rfm layer --x X.npy --y Y.npy --out out
  $ deep-rfm layer --x X.npy --y Y.npy --seed 7 --layer-index 2 --out out --json
  $ deep-rfm layer --x X.npy --y Y.npy --labels labels.npy --activation cos \\
      --weights W.npy --phase u.npy --out out --save-kernel

Arrays are .npy files of real numbers or booleans, or in an .npz archive:
data.npz where it holds one, data.npz:X for the one named X. The rows of X are
divided by their length, nothing else is done to them. Targets may be any
numbers. Writes alpha.npy, agop.npy (before division by its maximum),
agop_sqrt.npy (after it), agop_features.npy, features.npy and metrics.json, and
kernel_matrix.npy with --save-kernel.`;

/** `deep-rfm layer`: one layer on the user's arrays. */
export function addLayer(program: Command, signal: AbortSignal): void {
  const command = program
    .command('layer')
    .summary('compute one layer on your own arrays')
    .description('Computes one layer of the method on arrays from files and writes every step.')
    .addOption(valued('--x <file>', 'features, n × d (required)', path('--x')))
    .addOption(valued('--y <file>', 'targets, n × C or n (required)', path('--y')))
    .addOption(
      valued(
        '--labels <file>',
        'classes of the rows, n, or one-hot, n × C (default: the largest target, or its sign)',
        path('--labels'),
      ),
    )
    .addOption(valued('--weights <file>', 'weights W, width × d, in place of random ones', path('--weights')))
    .addOption(valued('--phase <file>', 'phases u of cos, width numbers; goes with --weights', path('--phase')))
    .addOption(
      valued(
        '--layer-index <integer>',
        'layer whose random weights are drawn, from 0 (default: 0)',
        integer('--layer-index', { min: 0, max: 2 ** 32 - 1, example: 0 }),
      ),
    );
  for (const option of [...kernelOptions(), ...featureOptions()]) command.addOption(option);
  command
    .option('--save-kernel', 'write the kernel matrix, too (n × n)')
    .option('--float64', 'write arrays as <f8 (alpha with more digits than float32, the rest is float32 all the same)')
    .addOption(adapterOption())
    .addOption(gpuOption())
    .addOption(tuneOption())
    .addOption(valued('--out <folder>', 'where to write (required)', path('--out')))
    .addOption(overwriteOption());
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (flags: LayerFlags) => {
    const terminal = terminalFor(flags);
    const request = readLayerRequest(flags);
    const inputs = (['x', 'y', 'labels', 'weights', 'phase'] as const).map((name) => ({
      flag: `--${name}`,
      path: flags[name],
    }));
    const output = { dir: request.out, by: 'layer', inputs, overwrite: flags.overwrite, note: terminal.note } as const;
    await withOutput(output, () => runLayer(request, flags, terminal, signal));
  });
}

async function runLayer(
  request: LayerRequest,
  flags: LayerFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { input, options, out } = request;
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  const { describeAdapter, rfmLayer } = await import('./method.js');
  const { result, adapter } = await withGpu({ ...flags, note: terminal.note }, signal, async (gpu) => {
    terminal.note(`layer    ${input.n} × ${input.d} rows, ${input.outputs} targets, width ${input.features.width}`);
    terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
    return {
      result: await rfmLayer(gpu, input, options, { kernelMatrix: flags.saveKernel === true, signal }),
      adapter: gpu.adapter,
    };
  });
  for (const remark of [layerRemark(result.metrics), undefinedRemark(result.metrics)]) {
    if (remark !== null) terminal.note(`note: ${remark}`);
  }
  const metrics = metricsDocument(request, flags, result, adapter);
  const { written, removed } = await publish(
    out,
    outputFiles(request, result, metrics),
    KNOWN_FILES.layer,
    flags.float64 === true,
  );
  for (const name of removed) terminal.note(`note: removed ${name} of an earlier command from ${out}`);
  const { nc1, nc2, trainAccuracy, solve, agop, seconds } = result.metrics;
  terminal.print(
    `NC1 ${scientific(nc1.input)}, after the AGOP ${scientific(nc1.agop)}, features ${scientific(nc1.features)}`,
  );
  terminal.print(
    `NC2 ${scientific(nc2.input)}, after the AGOP ${scientific(nc2.agop)}, features ${scientific(nc2.features)}`,
  );
  terminal.print(
    `train ${formatPercent(trainAccuracy)}, residual ${scientific(solve.relativeResidual)} (${solve.method}), ` +
      `AGOP by ${agop.path}, rank ${agop.rank}, ${formatSeconds(seconds.total)}, and ${formatSeconds(seconds.compilation ?? 0)} to compile shaders`,
  );
  terminal.print(`wrote to ${out}: ${written.join(', ')}`);
  terminal.document({ ...metrics, out, files: written });
}

/** metrics.json of a layer. */
function metricsDocument(
  { input, settings }: LayerRequest,
  flags: LayerFlags,
  { metrics }: LayerResult,
  adapter: AdapterSummary,
): object {
  const { nc1, nc2, trainAccuracy, solve, agop, seconds } = metrics;
  return {
    schema: 'deep-rfm/layer/1',
    version: VERSION,
    config: {
      x: flags.x,
      y: flags.y,
      labels: flags.labels ?? null,
      n: input.n,
      d: input.d,
      outputs: input.outputs,
      ...settings,
      features: describeFeatures(input.features, flags),
    },
    adapter,
    nc1,
    nc2,
    trainAccuracy,
    solve,
    agop,
    seconds,
  };
}

const describeFeatures = (features: FeatureWeights, flags: LayerFlags): object =>
  features.kind === 'random'
    ? features
    : { kind: 'given', weights: flags.weights, phase: flags.phase ?? null, width: features.width };

function outputFiles({ input, targets }: LayerRequest, result: LayerResult, metrics: object): OutputFile[] {
  const { n, d } = input;
  const kernel: OutputFile[] =
    result.kernelMatrix === null ? [] : [{ name: 'kernel_matrix.npy', shape: [n, n], data: result.kernelMatrix }];
  return [
    ...kernel,
    { name: 'alpha.npy', shape: likeTargets(targets, n), data: result.alpha },
    { name: 'agop.npy', shape: [d, d], data: result.agop },
    { name: 'agop_sqrt.npy', shape: [d, d], data: result.agopSqrt },
    { name: 'agop_features.npy', shape: [n, d], data: result.agopFeatures },
    { name: 'features.npy', shape: [n, result.width], data: result.features },
    { name: 'metrics.json', text: `${JSON.stringify(metrics, null, 2)}\n` },
  ];
}
