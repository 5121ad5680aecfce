import type { LayerMetrics, RunMetrics, Stages } from '../rfm/types.js';
import { type DrawnChart, numberCell } from './chart-points.js';
import type { ChartName } from './charts.js';
import {
  adapterLabel,
  classesText,
  escapeHtml,
  formatNumber,
  formatPercent,
  formatSeconds,
  missingClassesText,
  occurring,
  simplexCosine,
} from './format.js';
import { figureBlock, pageDocument, tableBlock, verdictBlock } from './page-shell.js';
import { agopName, certificateTable, needsNote, repairNote, settingsTable } from './run-certificate.js';
import { runVerdict } from './verdict.js';

/** A Gram picture as it lies in the folder. */
export interface GramFile {
  layer: number;
  png: Uint8Array;
}

/** Charts of a run and the spectra of M; what there is nothing to draw for has an empty SVG. */
export type PageCharts = Readonly<Record<ChartName | 'spectra', DrawnChart>>;

/** What the page is made of: metrics, charts, and Gram pictures as PNG. */
export interface PageParts {
  metrics: RunMetrics;
  charts: PageCharts;
  grams: readonly GramFile[];
}

const ROOT = 'M<sup>1/2</sup>';
const FEATURES = `φ(W ${ROOT}X)`;

const shareCell = (share: number | null): string =>
  `<td data-v="${share !== null && Number.isFinite(share) ? share : ''}">${formatPercent(share)}</td>`;

const secondsCell = (seconds: number): string =>
  `<td data-v="${Number.isFinite(seconds) ? seconds : ''}">${formatSeconds(seconds)}</td>`;

function layerTable(layers: readonly LayerMetrics[]): string {
  const stageHeads = `<th scope="col">X</th><th scope="col">${ROOT}X</th><th scope="col">${FEATURES}</th>`;
  const stages = ({ input, agop, features }: Stages): string => [input, agop, features].map(numberCell).join('');
  // Earlier versions did not tell compilation apart.
  const compiled = layers.some(({ seconds }) => seconds.compilation !== undefined);
  const rows = layers.map((layer) => {
    const { solve, seconds } = layer;
    const mark = needsNote(layer) ? ' <abbr title="see the note at the top">⚠</abbr>' : '';
    return `<tr${mark ? ' class="repaired"' : ''}><th scope="row" data-v="${layer.layer}">${layer.layer}${mark}</th>
${stages(layer.nc1)}${stages(layer.nc2)}
${shareCell(layer.trainAccuracy)}${shareCell(layer.testAccuracy)}
<td class="text">${escapeHtml(solve.method)}</td>${numberCell(solve.relativeResidual)}${numberCell(solve.jitter)}
<td class="text">${agopName(layer.agop.path)}</td>${secondsCell(seconds.total)}${
      compiled ? secondsCell(seconds.compilation ?? Number.NaN) : ''
    }</tr>`;
  });
  return tableBlock(
    'layers',
    'Values of each layer',
    `<table class="layers">
<caption>Values of each layer. The residual is ‖(K + λI)α − Y‖ / ‖Y‖.</caption>
<thead><tr><th scope="col" rowspan="2">Layer</th><th scope="colgroup" colspan="3">NC1</th>
<th scope="colgroup" colspan="3">NC2</th><th scope="colgroup" colspan="2">Accuracy</th>
<th scope="colgroup" colspan="3">Solve</th><th scope="col" rowspan="2">AGOP</th><th scope="col" rowspan="2">Time</th>${
      compiled ? '<th scope="col" rowspan="2">Shaders</th>' : ''
    }</tr>
<tr>${stageHeads}${stageHeads}<th scope="col">training</th><th scope="col">test</th>
<th scope="col">method</th><th scope="col">residual</th><th scope="col">jitter</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`,
  );
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
    return `<figure data-layer="${layer}"><img src="data:image/png;base64,${Buffer.from(png).toString('base64')}" width="${width}" height="${height}" alt="${alt}">
<figcaption>Layer ${layer}</figcaption></figure>`;
  });
  return `<section><h2>Gram matrices after the AGOP projection</h2>
<p>Cosine similarities of the rows of ${ROOT}X, centred by their mean, in class order. All pictures share one
scale: red is +1, white 0 and blue −1. Under collapse each class is a solid red block, and everything else has the one value of a simplex ETF, ${simplexCosine(classes)}.</p>
<div class="grams">${pictures.join('\n')}</div></section>`;
}

/** J/J* and the mean kernel entries; nothing for what earlier versions wrote. */
function learningSection({ layers, nc1Decay }: RunMetrics, charts: PageCharts): string {
  if (charts.kernel.svg === '') return '';
  const last = layers.at(-1)!;
  const decay = nc1Decay
    ? `<p>NC1 of ${ROOT}X falls by a factor of ${formatNumber(nc1Decay.factor)} a layer (least squares of its logarithm, layers
${nc1Decay.from} to ${nc1Decay.to}). The linear theory gives no number for it: it speaks of linear kernels without normalised rows.</p>`
    : '';
  return `<section><h2>Kernel learning</h2>
<p>J = λ⟨Y, (K + λI)<sup>−1</sup>Y⟩ is what the kernel predictor of a layer leaves of its objective. J* is the least value over
all kernels with entries of 0 and more and a diagonal of ones; the last layer comes to J/J* = ${formatNumber(last.kernel?.ratio ?? Number.NaN)}.</p>${decay}
${figureBlock(charts.kernel, {
  ...{ name: 'kernel', label: 'Chart of J over J*' },
  caption: 'J/J* toward 1: the kernel comes near the best one for its targets.',
})}
${figureBlock(charts['kernel-entries'], {
  ...{ name: 'kernel-entries', label: 'Chart of mean kernel entries' },
  caption: 'Mean kernel entries of different rows. The best kernel is 1 within classes.',
})}</section>`;
}

/** The eigenvalues of M, where it is formed. */
const spectraSection = ({ spectra }: PageCharts): string =>
  spectra.svg === ''
    ? ''
    : `<section><h2>Spectra of M</h2>
${figureBlock(spectra, {
  ...{ name: 'spectra', label: 'Spectra of M' },
  caption:
    'Largest eigenvalues of the AGOP M of each layer, over the largest. Under collapse C − 1 of them, one for each direction between the class means, stand apart from the rest.',
})}</section>`;

/** Bars and the line of what is in no bar. */
function timeSection(metrics: RunMetrics, charts: PageCharts): string {
  const compilations = metrics.layers.filter(({ seconds }) => (seconds.compilation ?? 0) > 0);
  const line =
    compilations.length === 0
      ? ''
      : `<p>Shaders were compiled besides, which no bar holds: ${compilations
          .map(({ layer, seconds }) => `${formatSeconds(seconds.compilation ?? 0)} in layer ${layer}`)
          .join(', ')}.</p>`;
  return `<section><h2>Accuracy and time</h2>
${figureBlock(charts.accuracy, {
  ...{ name: 'accuracy', label: 'Chart of accuracy' },
  caption: 'Accuracy of the kernel predictor that each layer fits to its input.',
})}
${figureBlock(charts.time, {
  ...{ name: 'time', label: 'Chart of time' },
  caption: `Time of each layer by phase, on ${escapeHtml(adapterLabel(metrics.adapter))}.`,
})}${line}</section>`;
}

function collapseSection({ classCounts }: RunMetrics, charts: PageCharts): string {
  const classes = occurring(classCounts);
  const twoClasses =
    classes === 2
      ? ' With two classes the centred means always point in opposite directions: NC2 is 0 up to rounding.'
      : '';
  return `<section><h2>Neural collapse over the layers</h2>
<p>Each quantity is measured three times in a layer: for the input X, for ${ROOT}X and for the random features ${FEATURES}.</p>
${figureBlock(charts.nc1, {
  ...{ name: 'nc1', label: 'Chart of NC1', collapses: true },
  caption: `<strong>NC1 toward 0: the variability within the classes collapses.</strong> NC1 = tr Σ<sub>W</sub> / tr Σ<sub>B</sub>.
  The authors’ published script divides Σ<sub>W</sub> once more by the number of classes C, so that its NC1 is
  C = ${classes} times smaller than the one shown here.`,
})}
${figureBlock(charts.nc2, {
  ...{ name: 'nc2', label: 'Chart of NC2', collapses: true },
  caption: `<strong>NC2 toward 0: the class means form a simplex ETF</strong>, centred vectors of equal angles as wide as can be.
  NC2 is the mean squared difference between their cosines and those of the simplex, 1 and −1/(C − 1).${twoClasses}`,
})}</section>`;
}

const REFERENCES = `<section><h2>References</h2>
<ul>
<li>D. Beaglehole, P. Súkeník, M. Mondelli, M. Belkin. <cite>Average gradient outer product as a mechanism for deep neural
collapse.</cite> NeurIPS 2024. <a href="https://arxiv.org/abs/2402.13728">arXiv:2402.13728</a>. Deep RFM and these measurements.</li>
<li>A. Radhakrishnan, D. Beaglehole, P. Pandit, M. Belkin. <cite>Mechanism of feature learning in deep fully connected
networks and kernel machines that recursively learn features.</cite> 2022.
<a href="https://arxiv.org/abs/2212.13881">arXiv:2212.13881</a>. Recursive Feature Machines.</li>
<li>V. Papyan, X. Y. Han, D. L. Donoho. <cite>Prevalence of neural collapse during the terminal phase of deep learning
training.</cite> PNAS 117(40), 2020. <a href="https://doi.org/10.1073/pnas.2015509117">doi:10.1073/pnas.2015509117</a>.
Neural collapse.</li>
</ul></section>`;

/** The report as one page that needs nothing else: style, charts, their values, pictures and script are inside. */
export function renderPage({ metrics, charts, grams }: PageParts): string {
  const { config, layers, classCounts } = metrics;
  const missing = missingClassesText(classCounts);
  return pageDocument({
    title: `Deep RFM on ${config.dataset}`,
    header: `${verdictBlock(escapeHtml(runVerdict(metrics)))}
<p>How the features of ${config.n} training rows of ${classesText(classCounts)} collapse over the ${layers.length}
${layers.length === 1 ? 'layer' : 'layers'} of a Deep Recursive Feature Machine, each of which fits a kernel predictor,
multiplies the data by the root of its average gradient outer product (AGOP) M and applies random features.${missing === null ? '' : ` ${missing}.`}</p>`,
    main: `${repairNote(metrics)}
${collapseSection(metrics, charts)}
${gramSection(grams, occurring(classCounts))}
${spectraSection(charts)}
${learningSection(metrics, charts)}
<section><h2>Values</h2>
${layerTable(layers)}</section>
${timeSection(metrics, charts)}
<section><h2>Certificate and settings</h2>
${certificateTable(metrics)}
${settingsTable(metrics)}</section>
${REFERENCES}`,
    footer: `Made by deep-rfm ${escapeHtml(metrics.version)}. The numbers are in metrics.json and metrics.csv beside this page.`,
  });
}
