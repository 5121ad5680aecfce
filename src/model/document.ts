/** model.json: what a saved model is, beside its numbers. */

import { z } from 'zod';
import { inputError, type RfmError } from '../errors.js';
import { FAMILY_NAMES } from '../ops/kernels/families.js';
import { KERNEL_NAMES, type KernelSettings } from '../ops/kernels/kernels.js';
import { repeatedKey } from './json-keys.js';

export const MODEL_SCHEMA = 'deep-rfm/model/1';
export const MODEL_FILE = 'model.json';

const positiveInteger = z.int().positive();
const fileName = z.string().regex(/^[\w-]+(\.[\w-]+)*$/);

const adapterSchema = z.object({
  vendor: z.string(),
  architecture: z.string(),
  device: z.string(),
  description: z.string(),
  type: z.enum(['hardware', 'software']),
  pci: z.string().optional(),
});

const kernelSchema = z.object({
  kernel: z.enum(KERNEL_NAMES),
  bandwidth: z.number().positive(),
  exponent: z.number().positive().optional(),
}) satisfies z.ZodType<KernelSettings>;

/**
 * What an output stands for. 'sign': fitted to +1 at the class and −1 elsewhere, 'one-hot': to 1 and 0, 'logits': the softmax of the
 * outputs are the probabilities of the classes, 'values': a number, 'prevalence': to corners of a simplex in an output less than there
 * are classes (see codes.ts). A single output of 'sign' or 'one-hot' tells two classes.
 */
export const OUTPUT_CODES = ['sign', 'one-hot', 'logits', 'values', 'prevalence'] as const;
export type OutputCode = (typeof OUTPUT_CODES)[number];

const common = {
  schema: z.literal(MODEL_SCHEMA),
  /** Of the program that wrote it. */
  version: z.string(),
  /** Numbers in a row that is given. */
  columns: positiveInteger,
  outputs: positiveInteger,
  code: z.enum(OUTPUT_CODES),
  /** Names of the classes 0, 1, …; null for values. */
  classes: z.array(z.string()).nullable(),
  /** What the model was made with, for people: nothing that predicts reads it. */
  settings: z.record(z.string(), z.unknown()),
  /** Checksums of the rows that it was made from, by what they are. */
  data: z.record(z.string(), z.string().nullable()),
  /** Where it was made. On such a device, with the same variants of operations, predictions are the same to the bit. */
  adapter: adapterSchema,
  lanes: z.int().nonnegative(),
  choices: z.array(z.tuple([z.string(), z.string()])),
  files: z.array(z.object({ name: fileName, bytes: z.int().positive(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
};

const deepRfmSchema = z.object({
  ...common,
  kind: z.literal('deep-rfm'),
  kernel: kernelSchema,
  activation: z.enum(['relu', 'cos']),
  /** Rows that the layers were fitted to, in class order. */
  centers: positiveInteger,
  /** Rows of a tile of them: sums over centres are added up tile by tile. */
  tileRows: positiveInteger,
  /** What an output of 1 is worth. */
  targetUnit: z.number().positive(),
  /** Of the statistics that rows are standardised with: F64 tensors `first`, `shift` and `deviation`, one number a column. */
  standardization: fileName,
  /** With the F32 tensor `metric_sqrt` (columns × columns), which standardised rows of length 1 are multiplied by; absent: none. */
  metric: fileName.optional(),
  /** In order: the file of each with F32 tensors `centers`, `alpha`, `alpha_low`, `agop_sqrt`, `weights` and, of cosines, `phase`. */
  layers: z.array(z.object({ file: fileName, inputs: positiveInteger, width: positiveInteger })).min(1),
});

const rfmSchema = z.object({
  ...common,
  kind: z.literal('rfm'),
  /** Of distances between rows over `unit`, after the factor of the metric. */
  kernel: kernelSchema,
  centers: positiveInteger,
  tileRows: positiveInteger,
  targetUnit: z.number().positive(),
  /** A power of two that rows are divided by once the mean was subtracted. */
  unit: z.number().positive(),
  /** Rows of the factor F of the metric M = metricUnit · FᵀF; null where M = I and there is no factor. */
  rank: positiveInteger.nullable(),
  metricUnit: z.number().positive(),
  /** With the tensors F64 `mean` (columns), F32 `centers` (centers × rank), `alpha` and `alpha_low` (outputs × centers), `factor` (rank × columns). */
  weights: fileName,
});

const networkSchema = z.object({
  ...common,
  kind: z.literal('network'),
  model: z.enum(['mlp', 'resnet18', 'vgg11']),
  depth: z.int().nonnegative(),
  width: positiveInteger,
  input: z.object({ channels: positiveInteger, height: positiveInteger, width: positiveInteger }),
  /** With the statistics `first`, `shift` and `deviation` (F64, columns), and parameters and running statistics (F32) by name. */
  weights: fileName,
});

/** A column of a table, and the features that it becomes: see table/encoding.ts. */
const columnSchema = z.discriminatedUnion('kind', [
  z.object({
    name: z.string(),
    kind: z.literal('number'),
    mean: z.number(),
    deviation: z.number().positive(),
    /** In place of a missing value; null: refused. */
    fill: z.number().nullable(),
  }),
  z.object({
    name: z.string(),
    kind: z.literal('category'),
    levels: z.array(z.string()).min(2),
    fill: z.string().nullable(),
  }),
]);

/** A kernel machine of rows of a table. */
const machine = {
  bandwidth: z.number().positive(),
  /** Of M: the rank of its factor where it is full; null: I. */
  metric: z
    .discriminatedUnion('form', [
      z.object({ form: z.literal('full'), rank: positiveInteger }),
      z.object({ form: z.literal('diagonal') }),
    ])
    .nullable(),
  centers: positiveInteger,
  /** With the tensors F32 `centers` (centers × columns), F64 `alpha` (centers × outputs), F32 `factor` (rank × columns) or F64 `roots` (columns). */
  weights: fileName,
};

const ofTable = {
  family: z.object({
    kernel: z.enum(FAMILY_NAMES),
    exponent: z.number().positive().optional(),
    norm: z.number().positive().optional(),
    power: positiveInteger.optional(),
    constantMix: z.number().nonnegative().optional(),
  }),
  /** Numbers that an output of 1 and 0 are worth: deviation and mean of the targets; null for classes. */
  scale: z.object({ mean: z.number(), deviation: z.number().positive() }).nullable(),
  /** Share of each class in the training rows; null for values. */
  prior: z.array(z.number()).nullable(),
  /** Columns of a table that become the features, in order, and the one that is predicted. */
  table: z.object({
    target: z.string(),
    columns: z.array(columnSchema).min(1),
    /** Columns of the matrix that it was fitted to, x0, x1, …; absent where these have other names. */
    matrix: positiveInteger.optional(),
  }),
};

const estimatorSchema = z.object({ ...common, kind: z.literal('estimator'), ...ofTable, ...machine });

/** Where a side of a split leads, by numbers from 0 on. */
const childSchema = z.union([
  z.strictObject({ split: positiveInteger }),
  z.strictObject({ leaf: z.int().nonnegative() }),
]);

const estimatorTreeSchema = z.object({
  ...common,
  kind: z.literal('estimator-tree'),
  ...ofTable,
  tree: z.object({
    /** T of soft routing; 0: a row goes to one leaf. */
    temperature: z.number().nonnegative(),
    /** Root first, each before those that it leads to: a row goes left where its projection is at most the threshold. */
    splits: z
      .array(
        z.object({
          rows: positiveInteger,
          threshold: z.number(),
          /** Interquartile range of the projections; T times this is what the logistic has as its unit. */
          scale: z.number().nonnegative(),
          left: childSchema,
          right: childSchema,
        }),
      )
      .min(1),
    /** With the F64 tensor `directions` (splits × columns). */
    directions: fileName,
  }),
  leaves: z.array(z.object(machine)).min(2),
});

const modelSchema = z.discriminatedUnion('kind', [
  deepRfmSchema,
  rfmSchema,
  networkSchema,
  estimatorSchema,
  estimatorTreeSchema,
]);

export type DeepRfmDocument = z.infer<typeof deepRfmSchema>;
export type RfmDocument = z.infer<typeof rfmSchema>;
export type EstimatorDocument = z.infer<typeof estimatorSchema>;
export type EstimatorTreeDocument = z.infer<typeof estimatorTreeSchema>;
/** Of `fit`: a model of rows of a table. */
export type TableDocument = EstimatorDocument | EstimatorTreeDocument;
export type NetworkDocument = z.infer<typeof networkSchema>;
export type ModelDocument = z.infer<typeof modelSchema>;
export type ModelKind = ModelDocument['kind'];

/** Whether a model takes the columns of a table. */
export const isOfTable = (document: ModelDocument): document is TableDocument =>
  document.kind === 'estimator' || document.kind === 'estimator-tree';

const MAKE_AGAIN = 'copy the folder or make the model again';

/**
 * model.json from its text.
 * @param at what messages call the file.
 * @throws input error where it is no JSON, of another schema, or holds what a model cannot have; the message names the entry.
 */
export function parseModelDocument(text: string, at: string): ModelDocument {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw inputError(`${at}: is no JSON, so that it was cut short or changed; ${MAKE_AGAIN}`);
  }
  const schema = (document as { schema?: unknown } | null)?.schema;
  if (schema !== MODEL_SCHEMA) {
    throw inputError(`${at}: has the schema ${JSON.stringify(schema) ?? 'of nothing'}, ${otherSchema(schema)}`);
  }
  const repeated = repeatedKey(text);
  if (repeated !== null) throw inputError(`${at}: has ${JSON.stringify(repeated)} twice; ${MAKE_AGAIN}`);
  const found = modelSchema.safeParse(document);
  if (!found.success) {
    const [{ path, message }] = found.error.issues;
    throw inputError(
      `${at}: ${path.join('.') || 'the whole'}: ${message.replace(/^Invalid input: /, '')}; ${MAKE_AGAIN}`,
    );
  }
  checkAgreement(found.data, (what) => inputError(`${at}: ${what}; ${MAKE_AGAIN}`));
  return found.data;
}

const otherSchema = (schema: unknown): string =>
  typeof schema === 'string' && /^deep-rfm\/model\//.test(schema)
    ? `this version reads ${MODEL_SCHEMA}; use the version of deep-rfm that wrote it`
    : `expected ${MODEL_SCHEMA}; give a folder that --save-model wrote`;

/** What no single entry shows. */
function checkAgreement(document: ModelDocument, wrong: (what: string) => RfmError): void {
  const { classes, code, outputs, files } = document;
  const expected = code === 'values' ? null : code === 'prevalence' ? outputs + 1 : outputs === 1 ? 2 : outputs;
  if ((classes?.length ?? null) !== expected) {
    throw wrong(
      `classes are ${classes?.length ?? 'null'}, but ${outputs} outputs of ${code} need ${expected ?? 'null'}`,
    );
  }
  const names = files.map(({ name }) => name);
  if (new Set(names).size !== names.length) throw wrong('two files have one name');
  const used = filesUsed(document);
  for (const name of used) if (!names.includes(name)) throw wrong(`files has no ${name}, which the model needs`);
  if (document.kind === 'network') {
    const { channels, height, width } = document.input;
    const numbers = channels * height * width;
    if (numbers !== document.columns) throw wrong(`input makes ${numbers} columns, but columns is ${document.columns}`);
  }
  if (isOfTable(document) && document.prior?.length !== classes?.length)
    throw wrong('prior has no share for each class');
  if (document.kind === 'estimator-tree') checkTree(document, wrong);
  if (document.kind !== 'deep-rfm') return;
  document.layers.forEach(({ inputs }, l) => {
    const before = l === 0 ? document.columns : document.layers[l - 1].width;
    if (inputs !== before) throw wrong(`layers.${l}.inputs is ${inputs}, but what it gets has ${before} columns`);
  });
}

/** Every split but the root, and every leaf, is where one side leads; a side leads to a later split. */
function checkTree({ tree, leaves }: EstimatorTreeDocument, wrong: (what: string) => RfmError): void {
  const open = new Set([...tree.splits.keys()].slice(1).map((split) => `split ${split}`));
  for (const leaf of leaves.keys()) open.add(`leaf ${leaf}`);
  tree.splits.forEach(({ left, right }, number) => {
    for (const child of [left, right]) {
      const name = 'split' in child ? `split ${child.split}` : `leaf ${child.leaf}`;
      if ('split' in child && child.split <= number) throw wrong(`tree.splits.${number} leads back to ${name}`);
      if (!open.delete(name)) throw wrong(`tree.splits.${number} leads to ${name}, which is not there or was led to`);
    }
  });
  if (open.size > 0) throw wrong(`no split of the tree leads to ${[...open][0]}`);
}

function filesUsed(document: ModelDocument): string[] {
  if (document.kind === 'deep-rfm') return [document.standardization, ...document.layers.map(({ file }) => file)];
  if (document.kind === 'estimator-tree')
    return [document.tree.directions, ...document.leaves.map(({ weights }) => weights)];
  return [document.weights];
}
