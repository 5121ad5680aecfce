import type { Measurement, SeedRecord, TrainMetrics } from '../nn/types.js';
import type { DrawnChart } from './chart-points.js';
import {
  adapterLabel,
  classesText,
  escapeHtml,
  formatBytes,
  formatCell,
  formatNumber,
  formatPercent,
  formatSeconds,
  missingClassesText,
  presetRow,
  UNDEFINED_REASON,
} from './format.js';
import { figureBlock, pageDocument, tableBlock, verdictBlock } from './page-shell.js';
import { pairTable } from './run-certificate.js';
import type { TrainChartName } from './train-charts.js';

const MODEL_NAMES = {
  mlp: 'An MLP',
  resnet18: 'ResNet-18 with an MLP head',
  vgg11: 'VGG-11 with an MLP head',
} as const;

const CAPTIONS: Readonly<Record<TrainChartName, string>> = {
  nc1: `<strong>How much each part of a layer collapses.</strong> NC1 = tr Σ<sub>W</sub> / tr Σ<sub>B</sub> of the input Φ,
  of S VᵀΦ with the weights W = U S Vᵀ (that of WΦ, since U is an isometry), and after the ReLU.`,
  nfa: `<strong>The neural feature ansatz.</strong> Pearson correlation of the entries of WᵀW with those of the AGOP of the
  network at the layer’s input, and of its square root; with weight decay also with those of the FACT matrix
  −(1/(nλ)) Σ ∇<sub>h</sub>ℓ<sub>i</sub> h<sub>i</sub>ᵀ.`,
  variance: `Shares of the variance of the last hidden layer’s output between and within the classes,
  Σ<sub>T</sub> = Σ<sub>B</sub> + Σ<sub>W</sub>.`,
  loss: 'Loss while training (the network changes during an epoch, and batch normalisation uses the batch), and measured in evaluation mode.',
  'singular-values': 'Singular values of the weights of each layer over the largest, as drawn and at the end.',
};

const lastOf = ({ measurements }: SeedRecord): Measurement | undefined => measurements.at(-1);

const finite = (values: readonly number[]): number[] => values.filter((value) => Number.isFinite(value));
const mean = (values: readonly number[]): number =>
  values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Factor by which a part of a layer lowers NC1, as a geometric mean over the seeds that have one; below 1 it raises NC1. Infinite
 * where a part lowers it to 0; NaN where it is 0 or not defined before and after.
 */
export function reduction(metrics: TrainMetrics, layer: number, part: 'right' | 'nonlinearity' | 'agop'): number {
  const logs = metrics.seeds.flatMap((record) => {
    const nc1 = lastOf(record)?.layers.find((probe) => probe.layer === layer)?.nc1;
    if (!nc1) return [];
    const [from, to] =
      part === 'right' ? [nc1.input, nc1.right] : part === 'agop' ? [nc1.input, nc1.agop] : [nc1.right, nc1.output];
    const log = Math.log(from / to);
    return Number.isNaN(log) ? [] : [log];
  });
  return Math.exp(mean(logs));
}

const FACT_CAPTION =
  'correlation of the FACT matrix −(1/(nλ)) Σ ∇<sub>h</sub>ℓ<sub>i</sub> h<sub>i</sub>ᵀ with WᵀW, and the difference of both over WᵀW (1 and 0 at a stationary point of the loss with weight decay λ); ';

function partsTable(metrics: TrainMetrics): string {
  const last = metrics.seeds.map(lastOf).filter((found) => found !== undefined);
  const layers = last[0]?.layers ?? [];
  const over = (of: (measurement: Measurement) => number): string => formatCell(mean(finite(last.map(of))));
  const factor = (value: number): string => (value === Number.POSITIVE_INFINITY ? '∞' : formatCell(value));
  const decays = metrics.config.weightDecay > 0;
  const rows = layers.map(({ layer }, i) => {
    const cells = [
      ...(['right', 'nonlinearity', 'agop'] as const).map((part) => factor(reduction(metrics, layer, part))),
      over(({ layers }) => layers[i].nfa),
      over(({ layers }) => layers[i].nfaSqrt),
      ...(decays
        ? [
            over(({ layers }) => layers[i].fact?.correlation ?? Number.NaN),
            over(({ layers }) => layers[i].fact?.difference ?? Number.NaN),
          ]
        : []),
      over(({ layers }) => layers[i].effectiveRank),
      over(({ layers }) => ((layers[i].principalAngles[0] ?? Number.NaN) * 180) / Math.PI),
    ];
    return `<tr><th scope="row">${layer}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  return tableBlock(
    'parts',
    'Parts of each layer',
    `<table class="layers">
<caption>At the end of training, means over the seeds that have a value: by which factor NC1 falls from Φ to S VᵀΦ, from there to the output of the
ReLU (below 1 it rises; ∞: to 0; n/a: 0 before and after, or not defined), and from Φ to AGOP<sup>1/2</sup>Φ; correlations with WᵀW; ${decays ? FACT_CAPTION : ''}effective rank of W; smallest principal
angle between the top right singular vectors of W and the top eigenvectors of the AGOP, as many as classes.</caption>
<thead><tr><th scope="col">Layer</th><th scope="col">S Vᵀ</th><th scope="col">ReLU</th><th scope="col">AGOP<sup>1/2</sup></th>
<th scope="col">AGOP, WᵀW</th><th scope="col">AGOP<sup>1/2</sup>, WᵀW</th>${decays ? '<th scope="col">FACT, WᵀW</th><th scope="col">FACT difference</th>' : ''}<th scope="col">effective rank</th><th scope="col">angle °</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`,
  );
}

/** What has no value, in which seeds and layers. */
function undefinedNote({ seeds }: TrainMetrics): string {
  const items = seeds.flatMap(({ seed, measurements }) => {
    const layers = new Set<number>();
    for (const { layers: probes } of measurements) {
      for (const { layer, nc1, nc2, nfa, nfaSqrt, fact } of probes) {
        const values = [...Object.values(nc1), ...Object.values(nc2), nfa, nfaSqrt];
        if (fact) values.push(fact.correlation, fact.difference);
        if (finite(values).length < values.length) layers.add(layer);
      }
    }
    const list = [...layers].sort((a, b) => a - b).join(', ');
    return layers.size === 0 ? [] : [`Seed ${seed}, layer ${list}`];
  });
  if (items.length === 0) return '';
  return `<div class="note warn" role="note"><p><strong>Not defined at some epoch</strong>: NC1, NC2 or a correlation, since
${UNDEFINED_REASON} or no output depends on the layer. Such values are n/a in the tables and left out of curves and means.</p>
<ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul></div>`;
}

function seedTable(metrics: TrainMetrics): string {
  const rows = metrics.seeds.map((record) => {
    const last = lastOf(record);
    if (!last) return '';
    const { train, test, variance } = last;
    const cells = [
      String(last.epoch),
      formatCell(train.loss),
      formatPercent(train.accuracy),
      test ? formatCell(test.loss) : 'n/a',
      formatPercent(test?.accuracy ?? null),
      formatCell(variance.between),
      formatCell(variance.within),
    ];
    return `<tr><th scope="row">${record.seed}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  return tableBlock(
    'seeds',
    'Each seed at the end',
    `<table class="layers"><caption>Each seed at the end.</caption>
<thead><tr><th scope="col">Seed</th><th scope="col">Epochs</th><th scope="col">Loss</th><th scope="col">Accuracy</th>
<th scope="col">Test loss</th><th scope="col">Test accuracy</th><th scope="col">between</th><th scope="col">within</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`,
  );
}

function settingsTable(metrics: TrainMetrics): string {
  const { config, adapter, classCounts, memory } = metrics;
  const momentum = config.optimizer === 'sgd' ? `, momentum ${formatNumber(config.momentum)}` : '';
  const kind = adapter.type === 'software' ? 'software: runs on the CPU' : 'hardware';
  const rows: [string, string][] = [
    ...presetRow(config.preset),
    [
      'Dataset',
      `${escapeHtml(config.dataset)}, ${config.n} training rows, ${config.testN} test rows, ${classesText(classCounts)}`,
    ],
    [
      'Network',
      `${config.model}, ${config.depth} hidden layers of width ${config.width}, Xavier gain ${formatNumber(config.init)}${config.initLayers === 'hidden' ? ' of the hidden layers' : ''}`,
    ],
    [
      'Training',
      `${config.epochs} epochs, batches of ${config.batch}, ${config.optimizer} with rate ${formatNumber(config.learningRate)}${momentum}, weight decay ${formatNumber(config.weightDecay)}`,
    ],
    ['Loss', config.loss === 'mse' ? 'mean squared error, targets ±1' : 'cross-entropy'],
    ['Seeds', config.seeds.join(', ')],
    ['Adapter', `${escapeHtml(adapterLabel(adapter))} <span class="tag">${kind}</span>`],
    ['Total time', formatSeconds(metrics.seconds)],
    ['Device memory', `${formatBytes(memory.peakBytes)} at most`],
    ['deep-rfm', escapeHtml(metrics.version)],
  ];
  return pairTable('settings', 'Settings and resources', rows);
}

/** What a training found, at its end. Plain text. */
export function trainVerdict(metrics: TrainMetrics): string {
  const last = metrics.seeds.map(lastOf).filter((found) => found !== undefined);
  const layers = last[0]?.layers.map(({ layer }) => layer) ?? [];
  if (layers.length === 0) return 'Nothing was measured.';
  const over = (of: (measurement: Measurement) => number): number => mean(finite(last.map(of)));
  const factorOf = (part: 'right' | 'nonlinearity'): number => {
    const logs = layers.map((layer) => Math.log(reduction(metrics, layer, part)));
    return Math.exp(mean(finite(logs)));
  };
  const does = (factor: number): string =>
    factor >= 1 ? `divides NC1 by ${formatNumber(factor)}` : `multiplies NC1 by ${formatNumber(1 / factor)}`;
  const [right, relu] = [factorOf('right'), factorOf('nonlinearity')];
  const parts =
    Number.isFinite(right) && Number.isFinite(relu)
      ? `In a layer (geometric mean over ${layers.length}) the right singular part S Vᵀ of the weights ${does(right)}, and the ReLU ${does(relu)}. `
      : '';
  const nfa = over(({ layers: probes }) => mean(finite(probes.map((probe) => probe.nfa))));
  const between = over(({ variance }) => variance.between);
  const epochs = Math.max(...last.map(({ epoch }) => epoch));
  return (
    `After ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} ${formatPercent(between)} of the variance after the last hidden layer lies between the ` +
    `classes. ${parts}AGOP and WᵀW correlate at ${formatNumber(nfa)} on average over the layers.`
  );
}

/** The report of a training as one page without links to other files. */
export function renderTrainPage(metrics: TrainMetrics, charts: Readonly<Record<TrainChartName, DrawnChart>>): string {
  const { config } = metrics;
  const missing = missingClassesText(metrics.classCounts);
  const section = (name: TrainChartName): string =>
    figureBlock(charts[name], { name, label: `Figure ${name}`, caption: CAPTIONS[name], collapses: name === 'nc1' });
  return pageDocument({
    title: `${MODEL_NAMES[config.model]} on ${config.dataset}`,
    header: `${verdictBlock(escapeHtml(trainVerdict(metrics)))}
<p>How the features of ${config.n} training rows collapse while a network learns, which part of a layer does it, and how the
layer’s weights relate to the average gradient outer product (AGOP) of the network at its input.${missing === null ? '' : ` ${missing}.`}</p>`,
    main: `${undefinedNote(metrics)}
<section><h2>Collapse</h2>
${section('nc1')}
${partsTable(metrics)}
${section('variance')}</section>
<section><h2>Weights and AGOP</h2>
${section('nfa')}
${section('singular-values')}</section>
<section><h2>Loss</h2>
${section('loss')}
${seedTable(metrics)}</section>
<section><h2>Settings</h2>
${settingsTable(metrics)}</section>
<section><h2>References</h2>
<ul>
<li>D. Beaglehole, P. Súkeník, M. Mondelli, M. Belkin. <cite>Average gradient outer product as a mechanism for deep neural
collapse.</cite> NeurIPS 2024. <a href="https://arxiv.org/abs/2402.13728">arXiv:2402.13728</a>.</li>
<li>A. Radhakrishnan, D. Beaglehole, P. Pandit, M. Belkin. <cite>Mechanism of feature learning in deep fully connected
networks and kernel machines that recursively learn features.</cite> 2022.
<a href="https://arxiv.org/abs/2212.13881">arXiv:2212.13881</a>.</li>
${config.weightDecay > 0 ? '<li>The FACT identity: <a href="https://arxiv.org/abs/2507.05644">arXiv:2507.05644</a>.</li>' : ''}
</ul></section>`,
    footer: `Made by deep-rfm ${escapeHtml(metrics.version)}. The numbers are in metrics.json and metrics.csv beside this page.`,
  });
}
