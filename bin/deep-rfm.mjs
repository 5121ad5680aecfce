#!/usr/bin/env node
// The launcher: finds the adapter's environment and hands over to dist/deep-rfm.js. What DEEP_RFM_ADAPTER selects:
// scripts/adapter-env.mjs.

import { existsSync } from 'node:fs';
import { adapterChoice } from '../scripts/adapter-env.mjs';
import { launch, refuse } from '../scripts/launch.mjs';

const program = new URL('../dist/deep-rfm.js', import.meta.url);

async function start() {
  if (!existsSync(program)) return refuse('dist/deep-rfm.js is missing: run `npm run setup` first', 1);
  try {
    adapterChoice();
  } catch (error) {
    return refuse(error.message, 2);
  }
  await launch(program);
}

await start();
