/** What the results of every command have in common, for tables and figures over many of them. */

/** Values by name, at one place of a run. */
export interface Measured {
  /** Of `run` and `train`; null where a command has one set of values. */
  layer: number | null;
  /** Of a network that `train` made with several; null for the seed of the command. */
  seed: number | null;
  values: Record<string, number>;
}

/** Parts of a document that say how it was made, and not what was found. */
const LEFT_OUT = new Set([
  ...['config', 'made', 'adapter', 'classCounts', 'memory', 'seconds', 'seed', 'epoch', 'layer', 'layers'],
]);

/**
 * All numbers below a document, by their names with points between; null is NaN. Lists of numbers are left out, and of a
 * list of anything else its last entry counts.
 */
function numbersIn(document: Readonly<Record<string, unknown>>, before = ''): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, value] of Object.entries(document)) {
    if (before === '' && LEFT_OUT.has(name)) continue;
    if (typeof value === 'number' || value === null) found[before + name] = value ?? Number.NaN;
    else if (typeof value === 'object') {
      const below: unknown = Array.isArray(value) ? value.at(-1) : value;
      if (typeof below !== 'object' || below === null) continue;
      Object.assign(found, numbersIn(below as Record<string, unknown>, `${before}${name}.`));
    }
  }
  return found;
}

type Document = Readonly<Record<string, unknown>>;
const documentsIn = (value: unknown): Document[] => (Array.isArray(value) ? (value as Document[]) : []);

/**
 * The measurements in a metrics.json: of every layer; of a training those at its end, with train and test scores in
 * every layer; of other commands one set.
 */
export function measurementsIn(document: Document): Measured[] {
  const seeds = documentsIn(document.seeds);
  if (seeds.length > 0) {
    return seeds.flatMap(({ seed, measurements }) => {
      const last = documentsIn(measurements).at(-1);
      if (last === undefined) return [];
      const common = numbersIn(last);
      return documentsIn(last.layers).map((probe) => ({
        layer: Number(probe.layer),
        seed: Number(seed),
        values: { ...numbersIn(probe), ...common },
      }));
    });
  }
  const layers = documentsIn(document.layers);
  if (layers.length > 0) {
    return layers.map((layer) => ({ layer: Number(layer.layer), seed: null, values: numbersIn(layer) }));
  }
  const { schema: _, version: __, ...rest } = document;
  return [{ layer: null, seed: null, values: numbersIn(rest) }];
}
