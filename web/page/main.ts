/** The page: form, buttons and figures. All that takes long is in the worker. */

import { formatBytes, formatSeconds } from '../../src/report/format.js';
import { saveFile } from '../shared/save.js';
import { drawable, mnistPixels } from './drawing.js';
import type { DataInfo, FromWorker, Settings, ToWorker } from './protocol.js';
import { byId, runName, type ShownRun, showCurves, showPictures, showScale, showTable, showVerdict } from './view.js';

const input = (id: string): HTMLInputElement => byId<HTMLInputElement>(id);
const button = (id: string): HTMLButtonElement => byId<HTMLButtonElement>(id);

const state = {
  info: null as DataInfo | null,
  opened: false,
  /** Why there is no device. */
  noDevice: null as string | null,
  running: false,
  paused: false,
  runs: [] as ShownRun[],
  /** Runs that went through all layers. */
  done: 0,
  planned: 1,
  /** Whether the slider goes along with the layers. */
  follow: true,
};

const say = (text: string): void => {
  byId('status').textContent = text;
};

/** Shows a problem; null: none but that no device could be opened. */
function problem(text: string | null): void {
  const note = byId('problem');
  const shown = text ?? state.noDevice;
  note.hidden = shown === null;
  note.textContent = shown ?? '';
}

/** The worker, or null where this page has no WebGPU. */
const worker = startWorker();

function startWorker(): Worker | null {
  if (!('gpu' in navigator)) {
    const insecure = isSecureContext ? '' : ' This address is not secure: open it over https, or from localhost.';
    problem(
      `This browser has no WebGPU here, so nothing can be computed.${insecure} Use a current Chrome, Edge, Firefox or Safari; on Linux start Chromium with --enable-unsafe-webgpu, and see chrome://gpu for why there is none.`,
    );
    say('Nothing can be computed.');
    return null;
  }
  const made = new Worker('worker.js');
  made.addEventListener('message', (event: MessageEvent<FromWorker>) => heard(event.data));
  made.addEventListener('error', (event) =>
    problem(`The worker could not be loaded (${event.message}). Load the page again.`),
  );
  return made;
}

const send = (message: ToWorker): void => worker?.postMessage(message);

function settings(): Settings {
  const number = (id: string): number => Number(input(id).value);
  return {
    ...{ n: number('n'), testN: number('testN'), depth: number('depth'), width: number('width'), seed: number('seed') },
    kernel: byId<HTMLSelectElement>('kernel').value as Settings['kernel'],
    activation: byId<HTMLSelectElement>('activation').value as Settings['activation'],
  };
}

function planned(): Settings[] {
  const own = settings();
  switch (byId<HTMLSelectElement>('beside').value) {
    case 'seed':
      return [own, { ...own, seed: own.seed + 1 }];
    case 'activation':
      return [own, { ...own, activation: own.activation === 'relu' ? 'cos' : 'relu' }];
    default:
      return [own];
  }
}

/** What is known of the machine and of what the run will take. */
const facts = new Map<string, string>();

function fact(name: string, value: string): void {
  facts.set(name, value);
  byId('machine').replaceChildren(
    ...[...facts].flatMap(([head, text]) => {
      const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
      dt.textContent = head;
      dd.textContent = text;
      return [dt, dd];
    }),
  );
}

function enable(): void {
  const ready = worker !== null && state.opened && state.info !== null;
  button('start').disabled = !ready || state.running;
  byId<HTMLFieldSetElement>('choices').disabled = state.running;
  button('pause').disabled = !state.running;
  button('pause').textContent = state.paused ? 'Continue' : 'Pause';
  button('step').disabled = !state.running;
  button('stop').disabled = !state.running;
}

let asked = 0;
/** The number of the settings as they are: answers to older ones come too late. */
let wanted = 0;
/** Whether the settings have changed since time and memory were told. */
let stale = true;

/** Asks for time and memory, once the form has been left alone for a moment. */
function askEstimate(): void {
  clearTimeout(asked);
  stale = true;
  wanted += 1;
  asked = window.setTimeout(() => {
    const valid = byId<HTMLFormElement>('form').checkValidity();
    if (!valid || !state.opened || !state.info || state.running) return;
    send({ type: 'estimate', id: wanted, settings: settings() });
  }, 400);
}

/** The layer that the slider is on. */
const layerShown = (): number => Number(input('layer').value);

function showLayer(): void {
  const layer = layerShown();
  byId('layer-shown').textContent = String(layer);
  input('layer').setAttribute('aria-valuetext', `layer ${layer}`);
  showPictures(state.runs, layer);
  showCurves(state.runs, layer, say);
}

function showResults(): void {
  const most = Math.max(...state.runs.map(({ layers }) => layers.length));
  byId('results').hidden = most < 1;
  if (most < 1) return;
  input('layer').max = String(most);
  const current = state.runs.at(-1)!.layers.length;
  if (state.follow && current > 0) input('layer').value = String(current);
  showLayer();
  showTable(state.runs);
  showVerdict(state.runs);
  const total = state.planned * settings().depth;
  byId<HTMLProgressElement>('progress').value = state.runs.reduce((sum, { layers }) => sum + layers.length, 0) / total;
}

function newData(info: DataInfo): void {
  state.info = info;
  const rows =
    info.testN > 0 ? `${info.n} training and ${info.testN} test rows` : `${info.n} training rows, no test rows`;
  const name = info.name === 'mnist-sample' ? 'Embedded MNIST digits' : info.name;
  byId('data-info').textContent =
    `${name}: ${rows} of ${info.d} numbers, ${info.classes} classes.${info.remarks.map((remark) => ` ${remark}.`).join('')}`;
  for (const [id, least, most] of [
    ['n', Math.min(20, info.n), info.n],
    ['testN', 0, info.testN],
  ] as const) {
    // What other data left there need not do for these, such as no test rows.
    const [value, before] = [Number(input(id).value), Number(input(id).max)];
    const wanted = value < least || (id === 'testN' && before === 0) ? Number(input(id).defaultValue) : value;
    input(id).min = String(least);
    input(id).max = String(most);
    input(id).value = String(Math.min(most, Math.max(least, wanted)));
  }
  button('embedded').hidden = info.name === 'mnist-sample';
  problem(null);
  askEstimate();
}

function addDownload(run: number, json: string): void {
  const made = document.createElement('button');
  made.type = 'button';
  const shown = state.runs[run]!;
  made.textContent = state.planned > 1 ? `metrics.json of ${runName(shown)}` : 'metrics.json';
  made.dataset.run = String(run);
  made.addEventListener('click', () => saveFile('metrics.json', json, 'application/json'));
  byId('downloads').append(made);
}

function ended(text: string): void {
  Object.assign(state, { running: false, paused: false });
  say(text);
  enable();
  // Through a run that ended early no digit can go: its features are kept when it is done.
  byId('digit').hidden = !(state.info?.digits === true && state.done > 0);
  if (stale) askEstimate();
}

function failed({ task, message }: Extract<FromWorker, { type: 'failed' }>): void {
  if (task === 'digit') byId('digit-said').textContent = message;
  else if (task === 'run') {
    problem(message);
    ended('The run ended early; what was computed is shown.');
  } else {
    state.noDevice = message;
    problem(null);
    say('Not ready.');
  }
}

function heard(message: FromWorker): void {
  switch (message.type) {
    case 'opened':
      state.opened = true;
      fact('Adapter', message.adapter);
      fact('Limits', message.limits.map(([name, value]) => `${name} ${value}`).join(', '));
      say(message.software ? 'Ready. This adapter runs on the CPU: keep the numbers small.' : 'Ready.');
      askEstimate();
      break;
    case 'data':
      newData(message.info);
      break;
    case 'refused':
      problem(message.message);
      break;
    case 'failed':
      failed(message);
      break;
    case 'not-estimated':
      if (message.id === wanted && !state.running) problem(message.message);
      break;
    case 'estimated':
      if (message.id !== wanted) break;
      stale = false;
      fact('Memory', `about ${formatBytes(message.bytes)} on the device`);
      if (message.seconds !== null) {
        const runs = planned().length;
        fact(
          'Time',
          `about ${formatSeconds(runs * message.seconds)}, and what shaders take to be compiled the first time`,
        );
      }
      break;
    case 'started':
      state.runs[message.run] = { settings: message.settings, layers: [], digit: null };
      break;
    case 'phase':
      if (!state.paused) say(`${runName(state.runs[message.run]!)}: layer ${message.layer}, ${message.phase}`);
      break;
    case 'layer':
      state.runs[message.layer.run]!.layers[message.layer.metrics.layer - 1] = message.layer;
      showResults();
      break;
    case 'paused':
      state.paused = true;
      say(`Paused after layer ${message.layer}.`);
      enable();
      break;
    case 'resumed':
      state.paused = message.paused;
      enable();
      break;
    case 'lost':
      say(`The device was lost; layer ${message.layer} begins again on a new one.`);
      byId('status').dataset.lost = String(message.layer);
      break;
    case 'done':
      state.done += 1;
      addDownload(message.run, message.json);
      break;
    case 'ended':
      ended(message.stopped ? 'Stopped; what was computed is shown.' : 'Done.');
      break;
    case 'digit': {
      const { run, nearest } = message.shown;
      const through = state.runs[run];
      // Another run may have been started since.
      if (!through) break;
      through.digit = message.shown;
      const said = state.runs
        .filter(({ digit }) => digit !== null)
        .map(
          (shown) =>
            `${runName(shown)}: nearest class mean after layers 1 to ${nearest.length}: ${shown.digit!.nearest.join(', ')}.`,
        );
      byId('digit-said').textContent = said.join(' ');
      showLayer();
    }
  }
  if (message.type === 'opened' || message.type === 'data') enable();
}

byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const runs = planned();
  Object.assign(state, { running: true, paused: false, runs: [], done: 0, planned: runs.length, follow: true });
  if (stale) for (const name of ['Memory', 'Time']) fact(name, 'not estimated for these settings');
  byId('downloads').replaceChildren();
  byId('digit').hidden = true;
  byId('digit-said').textContent = '';
  byId('results').hidden = true;
  byId<HTMLProgressElement>('progress').value = 0;
  problem(null);
  say('Starting …');
  enable();
  send({ type: 'run', runs });
});
byId('form').addEventListener('input', (event) => {
  if ((event.target as HTMLElement).id !== 'files') askEstimate();
});
// Cosine features are as wide as their input where nothing else is asked for, as on the command line.
byId('activation').addEventListener('change', () => {
  input('width').value = byId<HTMLSelectElement>('activation').value === 'cos' ? '0' : '256';
});
button('pause').addEventListener('click', () => {
  if (state.paused) send({ type: 'continue' });
  else {
    send({ type: 'pause' });
    say('Pausing when this layer is done …');
  }
  state.paused = !state.paused;
  enable();
});
button('step').addEventListener('click', () => {
  send({ type: 'step' });
  Object.assign(state, { paused: false, follow: true });
  enable();
});
button('stop').addEventListener('click', () => send({ type: 'stop' }));
input('layer').addEventListener('input', () => {
  state.follow = layerShown() === Number(input('layer').max);
  showLayer();
});
input('files').addEventListener('change', () => {
  const files = [...(input('files').files ?? [])];
  if (files.length > 0) send({ type: 'files', files });
});
button('embedded').addEventListener('click', () => {
  input('files').value = '';
  send({ type: 'embedded' });
});
const drop = byId('drop');
for (const type of ['dragover', 'dragleave', 'drop'] as const) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle('over', type === 'dragover');
    const files = type === 'drop' ? [...(event.dataTransfer?.files ?? [])] : [];
    if (files.length > 0 && !state.running) send({ type: 'files', files });
  });
}
const pad = byId<HTMLCanvasElement>('pad');
const { clear } = drawable(pad);
button('clear').addEventListener('click', clear);
button('send').addEventListener('click', () => {
  const pixels = mnistPixels(pad);
  if (pixels) send({ type: 'digit', pixels });
  else byId('digit-said').textContent = 'Nothing is drawn yet.';
});
pad.addEventListener('keydown', (event) => {
  if (!/^\d$/.test(event.key)) return;
  clear();
  const context = pad.getContext('2d')!;
  context.fillStyle = '#ffffff';
  context.font = '220px sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillText(event.key, pad.width / 2, pad.height / 2 + 10);
});
// For tests of what follows the loss of a device.
if (new URLSearchParams(location.search).has('hooks')) {
  addEventListener('lose-device', () => send({ type: 'lose-device' }));
}

showScale();
enable();
send({ type: 'open' });
send({ type: 'embedded' });
if ('serviceWorker' in navigator && isSecureContext) {
  // Without it the page works as long as there is a network.
  navigator.serviceWorker.register('service-worker.js').catch(() => undefined);
}
