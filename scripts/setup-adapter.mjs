#!/usr/bin/env node
// The adapter's part of setup, and all of it for an installed package (`npx deep-rfm-setup`): finds a driver that Dawn
// accepts, installing one if it must, and says what before it does. In a checkout it runs before any package is there.
//
// DEEP_RFM_ADAPTER=auto|hardware|lavapipe|swiftshader asks for one adapter (see adapter-env.mjs);
// DEEP_RFM_NO_APT=1 forbids apt. Exit codes: 0 ready, 1 a step failed, 2 bad setting, 3 no adapter.

import { adapterChoice, cacheDirs, installedSwiftshader, launchEnv, userSetVulkan } from './adapter-env.mjs';
import { cacheOrWarn, chooseAdapter, describe } from './choose-adapter.mjs';
import { installLavapipe, lavapipePlan } from './install-lavapipe.mjs';
import { installSwiftshader, swiftshaderObstacle } from './install-swiftshader.mjs';
import { isMain } from './is-main.mjs';

export const note = (line) => process.stderr.write(`${line}\n`);

/** A step that failed, with the exit code it stands for. */
export class SetupError extends Error {
  constructor(exitCode, message) {
    super(message);
    this.exitCode = exitCode;
  }
}

export const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** Each returns null once the driver is there, or why it cannot be. */
const install = {
  lavapipe() {
    const plan = lavapipePlan();
    if (plan.reason) {
      note(`adapter: not installing lavapipe, the faster of the software adapters, with apt: ${plan.reason}`);
      return plan.reason;
    }
    const since = performance.now();
    const failure = installLavapipe(plan, { note });
    note(`adapter: lavapipe ${failure ? `could not be installed: ${failure}` : `installed in ${seconds(since)}`}`);
    return failure;
  },
  swiftshader() {
    const obstacle = swiftshaderObstacle();
    if (obstacle) return obstacle;
    const cacheDir = cacheOrWarn(note);
    if (!cacheDir) return `no directory for it: none of ${cacheDirs().join(', ')} is writable and safe`;
    const since = performance.now();
    const there = installedSwiftshader();
    const failure = installSwiftshader(cacheDir, { note });
    if (!failure && !there) note(`adapter: SwiftShader fetched in ${seconds(since)}`);
    return failure;
  },
};

function adapterOrThrow(choice) {
  const { entry, tried } = chooseAdapter(choice, { note, install });
  if (entry) return entry;
  const advice =
    process.platform !== 'linux'
      ? "Update the GPU's driver."
      : choice === 'auto' && !userSetVulkan()
        ? "Install your GPU's Vulkan driver, or Mesa 25 or later with lavapipe (Debian and Ubuntu: mesa-vulkan-drivers libvulkan1), then run this again."
        : 'Unset DEEP_RFM_ADAPTER, VK_DRIVER_FILES and VK_ICD_FILENAMES to let setup choose, then run it again.';
  const asked = choice === 'auto' ? '' : ` (DEEP_RFM_ADAPTER=${choice})`;
  throw new SetupError(3, `adapter: none that Dawn accepts${asked}. Tried: ${tried.join('; ')}. ${advice}`);
}

/** The value of DEEP_RFM_ADAPTER. */
export function choiceOrThrow() {
  try {
    return adapterChoice();
  } catch (error) {
    throw new SetupError(2, error.message);
  }
}

/** Finds the adapter and says which it is. Returns the environment for programs that use it. */
export function setupAdapter(choice) {
  note(describe(adapterOrThrow(choice)));
  const { set, problem } = launchEnv();
  if (problem) throw new SetupError(3, problem);
  return { ...process.env, ...set };
}

/** What `steps` returns; where they fail prints the line, sets the exit code and returns null. */
export async function orReport(steps) {
  try {
    return await steps();
  } catch (error) {
    note(error instanceof SetupError ? error.message : `setup: ${error.stack}`);
    process.exitCode = error.exitCode ?? 1;
    return null;
  }
}

if (isMain(import.meta.url) && (await orReport(() => setupAdapter(choiceOrThrow()))))
  note('ready: npx deep-rfm --help');
