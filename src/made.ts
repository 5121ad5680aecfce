/** The paper's settings that were asked for by name, and the flags that depart from them, each as `--n 1000 (preset: 50000)`. */
export interface PresetUse {
  name: string;
  departures: string[];
}

/** What results were made of, by which `--resume` tells whether they are those that are asked for. */
export interface Made {
  /** Version of Dawn's bindings. */
  webgpu: string;
  /** Every setting that the results depend on, by its flag. */
  settings: Record<string, unknown>;
  /** SHA-256 of the rows, cut short; null where there are none. */
  rows: Record<string, string | null>;
}

/** Which rows of a dataset a result was made from, where these are not simply the first ones. */
export interface RowSelection {
  /** Of EMNIST. */
  split?: string | undefined;
  /** Of CIFAR-100. */
  labels?: 'fine' | 'coarse' | undefined;
  /** Labels whose rows were taken, ascending. */
  classes?: number[] | undefined;
  stratified?: boolean | undefined;
}
