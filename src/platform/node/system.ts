import { totalmem } from 'node:os';
import type { Platform } from '../../runtime/platform.js';
import { hurry, waitIdly } from './idle.js';

/** Node with Dawn's bindings. */
export const nodePlatform: Platform = {
  waitIdly,
  hurry,
  nextTurn: () => new Promise((resolve) => setImmediate(resolve)),
  memoryBytes: totalmem,
};
