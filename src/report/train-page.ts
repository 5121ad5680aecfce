import type { Measurement, SeedRecord, TrainMetrics } from '../nn/types.js';
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
import { PAGE_STYLE } from './page-style.js';
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
  return `<div class="scroll" tabindex="0" role="region" aria-label="Parts of each layer"><table class="layers">
<caption>At the end of training, means over the seeds that have a value: by which factor NC1 falls from Φ to S VᵀΦ, from there to the output of the
ReLU (below 1 it rises; ∞: to 0; n/a: 0 before and after, or not defined), and from Φ to AGOP<sup>1/2</sup>Φ; correlations with WᵀW; ${decays ? FACT_CAPTION : ''}effective rank of W; smallest principal
angle between the top right singular vectors of W and the top eigenvectors of the AGOP, as many as classes.</caption>
<thead><tr><th scope="col">Layer</th><th scope="col">S Vᵀ</th><th scope="col">ReLU</th><th scope="col">AGOP<sup>1/2</sup></th>
<th scope="col">AGOP, WᵀW</th><th scope="col">AGOP<sup>1/2</sup>, WᵀW</th>${decays ? '<th scope="col">FACT, WᵀW</th><th scope="col">FACT difference</th>' : ''}<th scope="col">effective rank</th><th scope="col">angle °</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
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
  return `<div class="scroll"><table class="layers"><caption>Each seed at the end.</caption>
<thead><tr><th scope="col">Seed</th><th scope="col">Epochs</th><th scope="col">Loss</th><th scope="col">Accuracy</th>
<th scope="col">Test loss</th><th scope="col">Test accuracy</th><th scope="col">between</th><th scope="col">within</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
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
  return `<div class="scroll"><table class="settings"><caption>Settings and resources</caption><tbody>${rows
    .map(([name, value]) => `<tr><th scope="row">${name}</th><td>${value}</td></tr>`)
    .join('')}</tbody></table></div>`;
}

/** The report of a training as one page without scripts or links to other files. */
export function renderTrainPage(metrics: TrainMetrics, charts: Readonly<Record<TrainChartName, string>>): string {
  const { config } = metrics;
  const missing = missingClassesText(metrics.classCounts);
  const title = `${MODEL_NAMES[config.model]} on ${escapeHtml(config.dataset)}`;
  const section = (name: TrainChartName): string =>
    `<figure class="chart"><div class="scroll" tabindex="0" role="region" aria-label="Figure ${name}">${charts[name]}</div>
<figcaption>${CAPTIONS[name]}</figcaption></figure>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${title}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header><h1>${title}</h1>
<p>How the features of ${config.n} training rows collapse while a network learns, which part of a layer does it, and how the
layer’s weights relate to the average gradient outer product (AGOP) of the network at its input.${missing === null ? '' : ` ${missing}.`}</p></header>
<main>
${undefinedNote(metrics)}
${settingsTable(metrics)}
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
<section><h2>References</h2>
<ul>
<li>D. Beaglehole, P. Súkeník, M. Mondelli, M. Belkin. <cite>Average gradient outer product as a mechanism for deep neural
collapse.</cite> NeurIPS 2024. <a href="https://arxiv.org/abs/2402.13728">arXiv:2402.13728</a>.</li>
<li>A. Radhakrishnan, D. Beaglehole, P. Pandit, M. Belkin. <cite>Mechanism of feature learning in deep fully connected
networks and kernel machines that recursively learn features.</cite> 2022.
<a href="https://arxiv.org/abs/2212.13881">arXiv:2212.13881</a>.</li>
${config.weightDecay > 0 ? '<li>The FACT identity: <a href="https://arxiv.org/abs/2507.05644">arXiv:2507.05644</a>.</li>' : ''}
</ul></section>
</main>
<footer class="muted">Made by deep-rfm ${escapeHtml(metrics.version)}. The numbers are in metrics.json and metrics.csv beside this page.</footer>
</body>
</html>
`;
}
