#!/usr/bin/env node
// The launcher: finds the adapter's environment and hands over to the program. What DEEP_RFM_ADAPTER selects:
// scripts/adapter-env.mjs.

import { existsSync } from 'node:fs';
import { adapterChoice } from '../scripts/adapter-env.mjs';
import { launch, refuse } from '../scripts/launch.mjs';

async function start() {
  if (!existsSync(new URL('../dist/deep-rfm.cjs', import.meta.url)))
    return refuse('dist/deep-rfm.cjs is missing: run `npm run setup` first', 1);
  try {
    adapterChoice();
  } catch (error) {
    return refuse(error.message, 2);
  }
  await launch();
}

await start();
