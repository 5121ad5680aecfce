import type { BenchChange, BenchDocument, BenchResult, HostCost } from './bench-document.js';
import { ladders } from './bench-ladder.js';
import { scalingOf, scalingTable } from './bench-scaling.js';
import { READING_SCORES, scoreTable } from './bench-scores.js';
import { adapterLabel, formatPercent } from './format.js';
import type { Table } from './text-table.js';

/** Milliseconds with three digits. */
const ms = (value: number): string => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3));
const rate = (value: number | null): string => (value === null ? '–' : value.toPrecision(3));
const factor = (value: number): string => `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)}×`;
const error = (value: number | null): string => (value === null ? '–' : value.toExponential(1));

const changeOf = (result: BenchResult, changes: readonly BenchChange[]): string => {
  const change = changes.find((c) => c.op === result.op && c.shape === result.shape && c.variant === result.variant);
  if (!change) return 'new';
  return change.verdict === 'same' ? 'same' : `${change.verdict} ${factor(change.factor)}`;
};

/** Our results: time, rates, share of the ceiling, error. */
export function resultTable({ results, comparison }: BenchDocument): Table {
  const header = ['op', 'shape', 'variant', 'ms', 'min–max', 'GFLOP/s', 'GB/s', 'ceiling', 'error'];
  const rows = results.map((result) => {
    const { median, min, max } = result.milliseconds;
    return [
      result.op,
      result.shape,
      result.variant,
      ms(median),
      `${ms(min)}–${ms(max)}`,
      rate(result.gflops),
      rate(result.gbps),
      formatPercent(result.ceilingShare),
      error(result.error),
      ...(comparison ? [changeOf(result, comparison.changes)] : []),
    ];
  });
  return { header: comparison ? [...header, 'change'] : header, rows, left: 3 };
}

/** The peers' results, and how many times faster we are. */
export function peerTable({ peers, ratios }: BenchDocument): Table {
  const rows = peers.map(({ op, shape, name, method, milliseconds, gflops }) => {
    const values = ratios
      .filter((r) => r.op === op && r.shape === shape && r.peer === name && r.method === method)
      .map(({ value, variant }, _, all) => (all.length > 1 ? `${factor(value)} ${variant}` : factor(value)));
    return [op, shape, name, method, ms(milliseconds), rate(gflops), values.join(', ')];
  });
  return { header: ['op', 'shape', 'peer', 'method', 'ms', 'GFLOP/s', 'peer ÷ ours'], rows, left: 4 };
}

/** What the host takes for a layer. */
export function hostTable(costs: readonly HostCost[]): Table {
  const count = (value: number): string => String(Math.round(10 * value) / 10);
  return {
    header: [
      'host',
      'ms a layer',
      'min–max',
      'dispatches',
      'submits',
      'readbacks',
      'KiB read',
      'bind groups',
      'KiB written',
    ],
    rows: costs.map(({ shape, milliseconds: { median, min, max }, perLayer }) => [
      shape,
      ms(median),
      `${ms(min)}–${ms(max)}`,
      ...[perLayer.dispatches, perLayer.submits, perLayer.readbacks, perLayer.readbackBytes / 1024].map(count),
      ...[perLayer.bindGroups, perLayer.writtenBytes / 1024].map(count),
    ]),
    left: 1,
  };
}

const markdownTable = ({ header, rows, left }: Table): string[] => {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replace(/\|/g, '\\|')).join(' | ')} |`;
  return [line(header), line(header.map((_, column) => (column < left ? '---' : '---:'))), ...rows.map(line)];
};

/** What was measured and on what, in lines. */
export function benchHeading(document: BenchDocument): string[] {
  const { adapter, host, ceilings, tuning } = document;
  const choices = Object.entries(tuning.choices).map(([op, variant]) => `${op} ${variant}`);
  const chosen = { defaults: 'built-in', cache: 'measured earlier on this adapter', measured: 'measured now' }[
    tuning.source
  ];
  return [
    `adapter  ${adapterLabel(adapter)}`,
    `host     ${host.cpu}, ${host.threads} threads, ${host.platform}, Node ${host.node}, deep-rfm ${document.version}, webgpu ${document.webgpu}`,
    `ceilings ${ceilings.gflops.toPrecision(3)} GFLOP/s from registers, ${ceilings.gbps.toPrecision(3)} GB/s copied`,
    `variants ${chosen}${choices.length > 0 ? `: ${choices.join(', ')}` : ''}`,
  ];
}

/** Remarks on results, and for each operation below a third of the ceiling why it is there. */
export function remarkLines({ results }: BenchDocument): string[] {
  const low = new Map<string, BenchResult[]>();
  for (const result of results) {
    if (result.reason === null) continue;
    const key = `${result.op}\n${result.reason}`;
    low.set(key, [...(low.get(key) ?? []), result]);
  }
  const reasons = [...low.values()].map((group) => {
    const shares = group.map(({ ceilingShare }) => ceilingShare ?? 0);
    const [least, most] = [Math.min(...shares), Math.max(...shares)].map((share) => (100 * share).toPrecision(2));
    const [{ op, reason }] = group;
    return `${op}: ${least === most ? least : `${least} to ${most}`} % of the ceiling, since ${reason}`;
  });
  const others = results.flatMap(({ op, shape, variant, remarks }) =>
    remarks.map((text) => `${op} ${shape} ${variant}: ${text}`),
  );
  return [...reasons, ...others];
}

export const READING =
  'ms: median on the device (on the wall where the host takes part between submits), min–max its spread. ' +
  'ceiling: the larger of GFLOP/s and GB/s over what this adapter was measured to do at best. ' +
  'error: relative, against float64.';

/** The document as Markdown. */
export function benchMarkdown(document: BenchDocument): string {
  const { peers, libraries, comparison, notes, hostCosts } = document;
  const remarks = remarkLines(document);
  const scalings = scalingOf(document);
  const scored = scoreTable(document);
  const list = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : ['', `## ${title}`, '', ...lines.map((line) => `- ${line}`)];
  return [
    '# deep-rfm bench',
    '',
    ...benchHeading(document).map((line) => `- ${line.replace(/ +/g, ' ')}`),
    `- date ${document.date}`,
    '',
    READING,
    '',
    ...(document.results.length > 0 ? markdownTable(resultTable(document)) : []),
    ...(comparison
      ? ['', `Change against ${comparison.with}${comparison.sameAdapter ? '' : ', which is of another adapter'}.`]
      : []),
    ...(hostCosts ? ['', '## The host alone', '', ...markdownTable(hostTable(hostCosts))] : []),
    ...(peers.length > 0 ? ['', '## Peers', '', ...markdownTable(peerTable(document)), ''] : []),
    ...libraries.map(
      ({ name, version, blas, threads, where }) =>
        `- ${name} ${version}: ${blas}${threads === null ? '' : `, ${threads} threads`}; ${where}`,
    ),
    ...(scored.rows.length > 0 ? ['', '## Scores', '', READING_SCORES, '', ...markdownTable(scored)] : []),
    ...ladders(document).flatMap(({ op, table }) => ['', `## Ladder of ${op}`, '', ...markdownTable(table)]),
    ...(scalings.length > 0
      ? ['', '## Cost of a layer against n (milliseconds)', '', ...markdownTable(scalingTable(scalings))]
      : []),
    ...list('Remarks', remarks),
    ...list('Notes', notes),
    '',
  ].join('\n');
}
