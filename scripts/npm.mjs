// Running npm from a script that npm may itself be running.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** npm needs a cache it can write to; a user without a usable home has none. */
function cacheEnv(env) {
  let dir = env.npm_config_cache;
  try {
    dir ??= join(homedir(), '.npm');
    while (!existsSync(dir) && dirname(dir) !== dir) dir = dirname(dir);
    accessSync(dir, constants.W_OK);
    return {};
  } catch {
    return { npm_config_cache: join(tmpdir(), `deep-rfm-npm-${process.getuid?.() ?? 'user'}`) };
  }
}

/** What runs npm quietly. The log level is set because `npm --silent test` would hide errors here, too. */
export function npmCommand(args, { cwd, env = process.env } = {}) {
  // Under `npm run` this is the npm in use, which need not be the one on the path.
  const script = env.npm_execpath && basename(env.npm_execpath) === 'npm-cli.js' ? env.npm_execpath : null;
  const windows = process.platform === 'win32';
  const [command, first] = script ? [process.execPath, [script]] : [windows ? 'npm.cmd' : 'npm', []];
  return {
    command,
    args: [...first, ...args, '--loglevel=error', '--no-update-notifier'],
    options: {
      cwd,
      env: { ...env, ...cacheEnv(env) },
      encoding: 'utf8',
      maxBuffer: 64 << 20,
      shell: !script && windows,
    },
  };
}

/** Runs npm quietly: {ok, output}. */
export function npm(words, place) {
  const { command, args, options } = npmCommand(words, place);
  const result = spawnSync(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.error) return { ok: false, output: `${command}: ${result.error.message}` };
  return { ok: result.status === 0, stdout: result.stdout, output: `${result.stdout}${result.stderr}`.trim() };
}
