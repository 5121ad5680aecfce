import type { SeedRecord } from './types.js';

/** What training needs to go on as if it had not stopped. */
export interface Checkpoint {
  /** Finished seeds, and the one in work as the last. */
  records: SeedRecord[];
  /** Steps of the last seed's optimiser. */
  steps: number;
  seconds: number;
  /** Parameters, running statistics and state of the optimiser of the last seed, as they lie on the device. */
  arrays: { name: string; data: Uint8Array }[];
}
