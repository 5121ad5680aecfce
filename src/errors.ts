/** Exit codes of the command line. Scripts may rely on them. */
export const EXIT = { done: 0, internal: 1, input: 2, noAdapter: 3, doesNotFit: 4, deviceLost: 5 } as const;

export type ErrorKind = Exclude<keyof typeof EXIT, 'done'>;

/** Settings that messages speak of, and what a message calls them; the command line has flags for them. */
const SETTINGS = {
  activation: 'activation',
  adapter: 'adapter',
  agop: 'agop',
  bandwidth: 'bandwidth',
  batch: 'batch',
  categories: 'categories',
  codes: 'codes',
  constantMix: 'constant mix',
  depth: 'depth',
  drop: 'option drop',
  epochs: 'epochs',
  exponent: 'exponent',
  folds: 'folds',
  gamma: 'gamma',
  init: 'init',
  kappa: 'kappa',
  kernel: 'kernel',
  lambdaHat: 'lambda hat',
  lambdaMap: 'lambda map',
  leafRows: 'leaf rows',
  lr: 'learning rate',
  memoryLimit: 'memory limit',
  metricForm: 'metric form',
  missing: 'option missing',
  model: 'model',
  momentum: 'momentum',
  n: 'number of rows',
  norm: 'norm',
  power: 'power',
  resume: 'resume',
  ridge: 'ridge',
  score: 'score',
  seed: 'seed',
  target: 'target',
  task: 'task',
  weightDecay: 'weight decay',
  weights: 'weights',
  width: 'width',
} as const;

export type SettingName = keyof typeof SETTINGS;

/** A setting in a `say`. */
interface Mention {
  readonly setting: SettingName;
}

/** Words about settings, which may be called by other names. */
export interface Phrase {
  readonly parts: readonly (string | Mention)[];
}

/** Settings for `say`: `the.ridge`. */
export const the = Object.fromEntries(
  Object.keys(SETTINGS).map((setting) => [setting, { setting: setting as SettingName }]),
) as { readonly [S in SettingName]: Mention };

/** A template of words and settings: say`use a larger ${the.ridge}`. */
export const say = (strings: TemplateStringsArray, ...values: (string | number | Mention | Phrase)[]): Phrase => ({
  parts: strings.flatMap((text, i) => [text, ...(i < values.length ? partsOf(values[i]) : [])]),
});

function partsOf(value: string | number | Mention | Phrase): Phrase['parts'] {
  if (typeof value === 'object') return 'parts' in value ? value.parts : [value];
  return [String(value)];
}

const inWords = ({ parts }: Phrase, name: (setting: SettingName) => string): string =>
  parts.map((part) => (typeof part === 'string' ? part : name(part.setting))).join('');

/**
 * An error the user can act on. The message is one line: what is wrong, where, what was found,
 * what was expected, and what to do. It is printed without a stack trace.
 */
export class RfmError extends Error {
  override readonly name = 'RfmError';
  private readonly phrase: Phrase;
  /** @param remedy what to do, where the problem does not say it; it follows a semicolon. */
  constructor(
    readonly kind: ErrorKind,
    readonly problem: string | Phrase,
    readonly remedy: string | Phrase | null = null,
  ) {
    const phrase = remedy === null ? say`${problem}` : say`${problem}; ${remedy}`;
    super(inWords(phrase, (setting) => SETTINGS[setting]));
    this.phrase = phrase;
  }
  get exitCode(): number {
    return EXIT[this.kind];
  }
  /** The message with settings by other names. */
  messageWith(name: (setting: SettingName) => string): string {
    return inWords(this.phrase, name);
  }
  /** The same error, with where it came up before its message. */
  within(where: string | Phrase): RfmError {
    return new RfmError(this.kind, say`${where}: ${this.problem}`, this.remedy);
  }
}

/** Wrong setting, file, shape, label or value: exit code 2. */
export const inputError = (problem: string | Phrase, remedy: string | Phrase | null = null): RfmError =>
  new RfmError('input', problem, remedy);
