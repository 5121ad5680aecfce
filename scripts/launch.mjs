// Starts the program with the adapter's environment. Only SwiftShader's own Vulkan loader needs a second process (the
// dynamic linker reads LD_LIBRARY_PATH at a process's start); otherwise the program runs in this one.

import { fileURLToPath } from 'node:url';
import { launchEnv } from './adapter-env.mjs';

/** Says why nothing was started. */
export function refuse(message, exitCode) {
  process.stderr.write(`deep-rfm: ${message}\n`);
  process.exitCode = exitCode;
}

/** Runs the program at this URL with the command line's arguments; `driver` as launchEnv takes it. */
export async function launch(program, { driver } = {}) {
  const { set, restart, problem } = launchEnv(process.env, { driver });
  if (problem) return refuse(problem, 3);
  if (!restart) {
    Object.assign(process.env, set);
    await import(program.href);
    return;
  }
  const { endLike, runChild } = await import('./run-child.mjs');
  const args = [...process.execArgv, fileURLToPath(program), ...process.argv.slice(2)];
  endLike(await runChild(process.execPath, args, { env: { ...process.env, ...set } }));
}
