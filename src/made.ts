/** What results were made of, by which `--resume` tells whether they are those that are asked for. */
export interface Made {
  /** Version of Dawn's bindings. */
  webgpu: string;
  /** Every setting that the results depend on, by its flag. */
  settings: Record<string, unknown>;
  /** SHA-256 of the rows, cut short; null where there are none. */
  rows: Record<string, string | null>;
}
