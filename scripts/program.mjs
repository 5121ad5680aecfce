// Starts the program, dist/deep-rfm.cjs, with what V8 made of it in an earlier command: its text is then neither scanned
// nor compiled again, which is half of the time to its first line. Node keeps code only from 22 on, and of functions only
// those that it compiles at once.
//
// DEEP_RFM_COMPILED is the folder where that is kept; without it nothing is.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cachedDataVersionTag } from 'node:v8';
import { Script } from 'node:vm';

/** Files of compiled code that are kept, the newest: each is a few megabytes, and each command has its own. */
const KEPT = 16;

const digest = (bytes) => createHash('sha1').update(bytes).digest();

/**
 * Where the code of this text lies for a command. V8 itself compares no more of the text than its length; the tag stands for
 * its version, its flags and the processor.
 */
function placeOf(folder, text, command) {
  const name = /^[a-z]+$/.test(command ?? '') ? command : 'other';
  return join(folder, `${name}-${digest(text).toString('hex')}-${cachedDataVersionTag().toString(16)}.code`);
}

/** The code, or undefined where there is none, or not all of it: V8 would run what is damaged. */
function readCode(place) {
  try {
    const bytes = readFileSync(place);
    const code = bytes.subarray(20);
    return digest(code).equals(bytes.subarray(0, 20)) ? code : undefined;
  } catch {
    return undefined;
  }
}

/** Whole files appear at once. What cannot be written is compiled again the next time. */
function keepCode(folder, place, code) {
  const part = `${place}.${process.pid}.tmp`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(part, Buffer.concat([digest(code), code]), { mode: 0o600 });
    renameSync(part, place);
    const files = readdirSync(folder).filter((name) => name.endsWith('.code'));
    const aged = files.map((name) => ({ path: join(folder, name), time: statSync(join(folder, name)).mtimeMs }));
    for (const { path } of aged.sort((a, b) => b.time - a.time).slice(KEPT)) rmSync(path, { force: true });
  } catch {
    if (existsSync(part)) rmSync(part);
  }
}

const program = new URL('../dist/deep-rfm.cjs', import.meta.url);
const text = readFileSync(program);
const folder = process.env.DEEP_RFM_COMPILED;
const place = folder && placeOf(folder, text, process.argv[2]);
const script = new Script(text.toString(), {
  filename: fileURLToPath(program),
  cachedData: place ? readCode(place) : undefined,
});
if (place && script.cachedDataRejected !== false) {
  // After a command all functions that it needs are compiled. One that fails may have needed few.
  process.once('exit', (code) => {
    if (code === 0) keepCode(folder, place, script.createCachedData());
  });
}
script.runInThisContext()(createRequire(program), (name) => import(name), program.href);
