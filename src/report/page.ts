import { kernelOf } from '../ops/kernels/kernels.js';
import type { LayerMetrics, RunMetrics, Stages } from '../rfm/types.js';
import type { ChartName } from './charts.js';
import {
  ACTIVATION_NAMES,
  adapterLabel,
  classesText,
  escapeHtml,
  formatBytes,
  formatCell,
  formatNumber,
  formatPercent,
  formatSeconds,
  LARGE_CANCELLATION,
  LARGE_ROUNDING,
  missingClassesText,
  occurring,
  presetRow,
  RESIDUAL_GOAL,
  simplexCosine,
  UNDEFINED_REASON,
} from './format.js';
import { PAGE_STYLE } from './page-style.js';

/** A Gram picture as it lies in the folder. */
export interface GramFile {
  layer: number;
  png: Uint8Array;
}

/** What the page is made of: metrics, charts as SVG, and Gram pictures as PNG. */
export interface PageParts {
  metrics: RunMetrics;
  charts: Readonly<Record<ChartName, string>>;
  grams: readonly GramFile[];
}

const ROOT = 'M<sup>1/2</sup>';
const FEATURES = `φ(W ${ROOT}X)`;

const stagesFinite = ({ input, agop, features }: Stages): boolean => [input, agop, features].every(Number.isFinite);

// Written so that a residual that is not a number counts as too large.
const missedGoal = (layer: LayerMetrics): boolean => !(layer.solve.relativeResidual <= RESIDUAL_GOAL);
const jittered = (layer: LayerMetrics): boolean => layer.solve.jitter !== 0;
const regularised = ({ solve }: LayerMetrics): boolean => solve.addedRidge !== undefined;
const cancelled = ({ agop }: LayerMetrics): boolean => agop.path === 'gram' && agop.cancellation >= LARGE_CANCELLATION;
const rounded = ({ argumentRounding = 0 }: LayerMetrics): boolean => argumentRounding >= LARGE_ROUNDING;
const undefinedMetric = (layer: LayerMetrics): boolean => !stagesFinite(layer.nc1) || !stagesFinite(layer.nc2);
const withDeadRows = ({ deadRows }: LayerMetrics): boolean => deadRows.train + deadRows.test > 0;

/** Whether something about a layer has to be pointed out. */
const needsNote = (layer: LayerMetrics): boolean =>
  [missedGoal, jittered, regularised, cancelled, rounded, undefinedMetric, withDeadRows].some((applies) =>
    applies(layer),
  );

const layerList = (layers: readonly LayerMetrics[]): string =>
  `${layers.length === 1 ? 'Layer' : 'Layers'} ${layers.map((layer) => layer.layer).join(', ')}`;

function repairNote({ layers, config }: RunMetrics): string {
  const items: string[] = [];
  const withJitter = layers.filter(jittered);
  if (withJitter.length > 0) {
    const largest = Math.max(...withJitter.map((layer) => layer.solve.jitter));
    items.push(
      `${layerList(withJitter)}: up to ${formatNumber(largest)} (jitter) was added to the diagonal of the kernel matrix, ` +
        `besides the ridge ${formatNumber(config.ridge)}, so that it could be factored.`,
    );
  }
  const coarse = layers.filter(missedGoal);
  if (coarse.length > 0) {
    const largest = Math.max(...coarse.map((layer) => layer.solve.relativeResidual));
    items.push(
      `${layerList(coarse)}: the solve did not reach a relative residual of ${formatNumber(RESIDUAL_GOAL)} ` +
        `(largest: ${formatNumber(largest)}).`,
    );
  }
  const withRidge = layers.filter(regularised);
  if (withRidge.length > 0) {
    const largest = Math.max(...withRidge.map(({ solve }) => solve.addedRidge ?? 0));
    items.push(
      `${layerList(withRidge)}: the system has no solution in float32, so up to ${formatNumber(largest)} was added to the ` +
        `ridge ${formatNumber(config.ridge)}.`,
    );
  }
  const cancelling = layers.filter(cancelled);
  if (cancelling.length > 0) {
    const largest = Math.max(...cancelling.map(({ agop }) => agop.cancellation));
    items.push(
      `${layerList(cancelling)}: the terms of the Gram form are up to ${formatNumber(largest)} times their sum, so that ` +
        `many digits of the AGOP are lost.`,
    );
  }
  const coarseCosines = layers.filter(rounded);
  if (coarseCosines.length > 0) {
    const largest = Math.max(...coarseCosines.map(({ argumentRounding = 0 }) => argumentRounding));
    items.push(
      `${layerList(coarseCosines)}: rounding of their arguments changes cosine features by up to ${formatNumber(largest)} ` +
        `on average.`,
    );
  }
  const unknown = layers.filter(undefinedMetric);
  if (unknown.length > 0) {
    items.push(
      `${layerList(unknown)}: ${UNDEFINED_REASON}, so NC1 or NC2 is not defined; it is left out of the curves.`,
    );
  }
  for (const layer of layers.filter(withDeadRows)) {
    const { train, test } = layer.deadRows;
    items.push(
      `${layerList([layer])}: all features of ${train} training and ${test} test rows are zero; they stay zero.`,
    );
  }
  if (items.length === 0) {
    return `<div class="note"><p>No repairs: no jitter was added, and every solve reached a relative residual of
      ${formatNumber(RESIDUAL_GOAL)} or less.</p></div>`;
  }
  return `<div class="note warn" role="note"><p><strong>Repairs and limits of this run</strong></p>
    <ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul></div>`;
}

function totalTime({ layers, seconds }: RunMetrics): string {
  const compilation = layers.reduce((sum, layer) => sum + (layer.seconds.compilation ?? 0), 0);
  const part = compilation > 0 ? `, of which ${formatSeconds(compilation)} to compile shaders` : '';
  return `${formatSeconds(seconds)}${part}`;
}

function settingsTable(metrics: RunMetrics): string {
  const { config, adapter, classCounts, layers, memory } = metrics;
  const sizesOfClasses = classCounts.filter((count) => count > 0);
  const smallest = Math.min(...sizesOfClasses);
  const largest = Math.max(...sizesOfClasses);
  const sizes = smallest === largest ? `${smallest} rows each` : `${smallest} to ${largest} rows each`;
  const { label, formula } = kernelOf(config);
  const width =
    config.width === 0
      ? 'the width of the input'
      : config.width === 'inf'
        ? '∞ (their expectation)'
        : String(config.width);
  const gamma = config.activation === 'cos' ? `, γ = ${formatNumber(config.gamma)}` : '';
  const done = layers.length === config.depth ? '' : ` (asked for: ${config.depth})`;
  const kind = adapter.type === 'software' ? 'software: runs on the CPU' : 'hardware';
  const details = [adapter.vendor, adapter.architecture, adapter.device].filter((part) => part !== '').join(' ');
  const rows: Array<[string, string]> = [
    ['Dataset', escapeHtml(config.dataset)],
    ...presetRow(config.preset),
    ['Training rows', `${config.n}, ${classesText(classCounts)} (${sizes})`],
    ['Test rows', config.testN > 0 ? String(config.testN) : 'none'],
    ['Layers', `${layers.length}${done}`],
    ['Kernel', `${label}, ${formula}, L = ${formatNumber(config.bandwidth)}, ridge λ = ${formatNumber(config.ridge)}`],
    [
      'Random features',
      `${ACTIVATION_NAMES[config.activation]}, width ${width}${gamma}${config.width === 'inf' ? '' : `, seed ${config.seed}`}`,
    ],
    ['AGOP', agopSetting(metrics)],
    ['Adapter', `${escapeHtml(adapterLabel(adapter))} <span class="tag">${kind}</span>`],
    ['Total time', totalTime(metrics)],
    ['Device memory', `${formatBytes(memory.peakBytes)} at most (predicted: ${formatBytes(memory.predictedBytes)})`],
    ['deep-rfm', escapeHtml(metrics.version)],
  ];
  if (metrics.deviceLosses > 0) {
    rows.push(['Devices lost', `${metrics.deviceLosses}; each time the layer was begun again on a new device`]);
  }
  if (details !== '') rows.splice(8, 0, ['Adapter details', escapeHtml(details)]);
  return `<div class="scroll"><table class="settings"><caption>Settings and resources</caption><tbody>${rows
    .map(([name, value]) => `<tr><th scope="row">${name}</th><td>${value}</td></tr>`)
    .join('')}</tbody></table></div>`;
}

function agopSetting({ config, layers }: RunMetrics): string {
  if (config.agopSamples > 0) {
    const errors = layers.map(({ agop }) => agop.samplingError);
    const range = `${formatPercent(Math.min(...errors))} to ${formatPercent(Math.max(...errors))}`;
    return `Jacobians at ${config.agopSamples} rows; standard error of their mean ${range}`;
  }
  return config.agop === 'auto' ? 'Gram space or Jacobians, chosen at each layer' : agopName(config.agop);
}

const agopName = (path: string): string => (path === 'gram' ? 'Gram space' : 'Jacobians');

function layerTable(layers: readonly LayerMetrics[]): string {
  const stageHeads = `<th scope="col">X</th><th scope="col">${ROOT}X</th><th scope="col">${FEATURES}</th>`;
  const stages = ({ input, agop, features }: Stages): string =>
    [input, agop, features].map((value) => `<td>${formatCell(value)}</td>`).join('');
  const rows = layers.map((layer) => {
    const mark = needsNote(layer) ? ' <abbr title="see the note above the settings">⚠</abbr>' : '';
    return `<tr${mark ? ' class="repaired"' : ''}><th scope="row">${layer.layer}${mark}</th>
${stages(layer.nc1)}${stages(layer.nc2)}
<td>${formatPercent(layer.trainAccuracy)}</td><td>${formatPercent(layer.testAccuracy)}</td>
<td class="text">${escapeHtml(layer.solve.method)}</td><td>${formatCell(layer.solve.relativeResidual)}</td><td>${formatCell(layer.solve.jitter)}</td>
<td class="text">${agopName(layer.agop.path)}</td><td>${formatSeconds(layer.seconds.total)}</td></tr>`;
  });
  return `<div class="scroll" tabindex="0" role="region" aria-label="Values of each layer"><table class="layers">
<caption>Values of each layer. The residual is ‖(K + λI)α − Y‖ / ‖Y‖.</caption>
<thead><tr><th scope="col" rowspan="2">Layer</th><th scope="colgroup" colspan="3">NC1</th>
<th scope="colgroup" colspan="3">NC2</th><th scope="colgroup" colspan="2">Accuracy</th>
<th scope="colgroup" colspan="3">Solve</th><th scope="col" rowspan="2">AGOP</th><th scope="col" rowspan="2">Time</th></tr>
<tr>${stageHeads}${stageHeads}<th scope="col">training</th><th scope="col">test</th>
<th scope="col">method</th><th scope="col">residual</th><th scope="col">jitter</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
}

/** Width and height in the header of a PNG. */
function pngSize(png: Uint8Array): { width: number; height: number } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

function gramSection(grams: readonly GramFile[], classes: number): string {
  if (grams.length === 0) return '';
  const pictures = grams.map(({ layer, png }) => {
    const { width, height } = pngSize(png);
    const alt = `Cosine similarities between the training rows after the AGOP projection of layer ${layer}, rows in class order`;
    return `<figure><img src="data:image/png;base64,${Buffer.from(png).toString('base64')}" width="${width}" height="${height}" alt="${alt}">
<figcaption>Layer ${layer}</figcaption></figure>`;
  });
  return `<section><h2>Gram matrices after the AGOP projection</h2>
<p>Cosine similarities of the rows of ${ROOT}X, centred by their mean, in class order. Red is +1, white 0 and blue −1.
Under collapse each class is a solid red block, and everything else has the one value of a simplex ETF, ${simplexCosine(classes)}.</p>
<div class="grams">${pictures.join('\n')}</div></section>`;
}

/** J/J* and the mean kernel entries; nothing for what earlier versions wrote. */
function learningSection({ layers, nc1Decay }: RunMetrics, charts: PageParts['charts']): string {
  if (charts.kernel === '') return '';
  const last = layers.at(-1)!;
  const decay = nc1Decay
    ? `<p>NC1 of ${ROOT}X falls by a factor of ${formatNumber(nc1Decay.factor)} a layer (least squares of its logarithm, layers
${nc1Decay.from} to ${nc1Decay.to}). The linear theory gives no number for it: it speaks of linear kernels without normalised rows.</p>`
    : '';
  return `<section><h2>Kernel learning</h2>
<p>J = λ⟨Y, (K + λI)<sup>−1</sup>Y⟩ is what the kernel predictor of a layer leaves of its objective. J* is the least value over
all kernels with entries of 0 and more and a diagonal of ones; the last layer comes to J/J* = ${formatNumber(last.kernel?.ratio ?? Number.NaN)}.</p>${decay}
${chartFigure(charts.kernel, 'Chart of J over J*', 'J/J* toward 1: the kernel comes near the best one for its targets.')}
${chartFigure(
  charts['kernel-entries'],
  'Chart of mean kernel entries',
  'Mean kernel entries of different rows. The best kernel is 1 within classes.',
)}</section>`;
}

const chartFigure = (svg: string, label: string, caption: string): string =>
  `<figure class="chart"><div class="scroll" tabindex="0" role="region" aria-label="${label}">${svg}</div>
<figcaption>${caption}</figcaption></figure>`;

/** The report as one page that needs nothing else: style, charts and pictures are inside, and there are no scripts. */
export function renderPage({ metrics, charts, grams }: PageParts): string {
  const { config, layers, classCounts } = metrics;
  const classes = occurring(classCounts);
  const missing = missingClassesText(classCounts);
  const dataset = escapeHtml(config.dataset);
  const title = `Deep RFM on ${dataset}`;
  const twoClasses =
    classes === 2
      ? ' With two classes the centred means always point in opposite directions: NC2 is 0 up to rounding.'
      : '';
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
<p>How the features of ${config.n} training rows of ${classesText(classCounts)} collapse over the ${layers.length}
${layers.length === 1 ? 'layer' : 'layers'} of a Deep Recursive Feature Machine, each of which fits a kernel predictor,
multiplies the data by the root of its average gradient outer product (AGOP) M and applies random features.${missing === null ? '' : ` ${missing}.`}</p></header>
<main>
${repairNote(metrics)}
${settingsTable(metrics)}
<section><h2>Neural collapse over the layers</h2>
<p>Each quantity is measured three times in a layer: for the input X, for ${ROOT}X and for the random features ${FEATURES}.</p>
${chartFigure(
  charts.nc1,
  'Chart of NC1',
  `<strong>NC1 toward 0: the variability within the classes collapses.</strong> NC1 = tr Σ<sub>W</sub> / tr Σ<sub>B</sub>.
  The authors’ published script divides Σ<sub>W</sub> once more by the number of classes C, so that its NC1 is
  C = ${classes} times smaller than the one shown here.`,
)}
${chartFigure(
  charts.nc2,
  'Chart of NC2',
  `<strong>NC2 toward 0: the class means form a simplex ETF</strong>, centred vectors of equal angles as wide as can be.
  NC2 is the mean squared difference between their cosines and those of the simplex, 1 and −1/(C − 1).${twoClasses}`,
)}</section>
${gramSection(grams, classes)}
${learningSection(metrics, charts)}
<section><h2>Values</h2>
${layerTable(layers)}</section>
<section><h2>Accuracy and time</h2>
${chartFigure(charts.accuracy, 'Chart of accuracy', 'Accuracy of the kernel predictor that each layer fits to its input.')}
${chartFigure(charts.time, 'Chart of time', `Time of each layer by phase, on ${escapeHtml(adapterLabel(metrics.adapter))}.`)}</section>
<section><h2>References</h2>
<ul>
<li>D. Beaglehole, P. Súkeník, M. Mondelli, M. Belkin. <cite>Average gradient outer product as a mechanism for deep neural
collapse.</cite> NeurIPS 2024. <a href="https://arxiv.org/abs/2402.13728">arXiv:2402.13728</a>. Deep RFM and these measurements.</li>
<li>A. Radhakrishnan, D. Beaglehole, P. Pandit, M. Belkin. <cite>Mechanism of feature learning in deep fully connected
networks and kernel machines that recursively learn features.</cite> 2022.
<a href="https://arxiv.org/abs/2212.13881">arXiv:2212.13881</a>. Recursive Feature Machines.</li>
<li>V. Papyan, X. Y. Han, D. L. Donoho. <cite>Prevalence of neural collapse during the terminal phase of deep learning
training.</cite> PNAS 117(40), 2020. <a href="https://doi.org/10.1073/pnas.2015509117">doi:10.1073/pnas.2015509117</a>.
Neural collapse.</li>
</ul></section>
</main>
<footer class="muted">Made by deep-rfm ${escapeHtml(metrics.version)}. The numbers are in metrics.json and metrics.csv beside this page.</footer>
</body>
</html>
`;
}
