#!/usr/bin/env node
// The launcher: finds the adapter's environment and hands over to dist/deep-rfm.js. Only SwiftShader's own Vulkan
// loader needs a second process (the dynamic linker reads LD_LIBRARY_PATH at a process's start); otherwise the command
// runs in this one. What DEEP_RFM_ADAPTER selects: scripts/adapter-env.mjs.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { adapterChoice, launchEnv } from '../scripts/adapter-env.mjs';

const program = new URL('../dist/deep-rfm.js', import.meta.url);

function fail(message, exitCode) {
  process.stderr.write(`deep-rfm: ${message}\n`);
  process.exitCode = exitCode;
}

async function start() {
  if (!existsSync(program)) return fail('dist/deep-rfm.js is missing: run `npm run setup` first', 1);
  try {
    adapterChoice();
  } catch (error) {
    return fail(error.message, 2);
  }
  const { set, restart, problem } = launchEnv();
  if (problem) return fail(problem, 3);
  if (!restart) {
    Object.assign(process.env, set);
    await import(program.href);
    return;
  }
  const { endLike, runChild } = await import('../scripts/run-child.mjs');
  const args = [...process.execArgv, fileURLToPath(program), ...process.argv.slice(2)];
  endLike(await runChild(process.execPath, args, { env: { ...process.env, ...set } }));
}

await start();
