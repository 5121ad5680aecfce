/** One Gram picture at a time, chosen by a slider over the layers. */

import { saveFile } from '../shared/save.js';

/** Puts a slider above the pictures and hides all but one. */
export function addGramSlider(grams: HTMLElement): void {
  const figures = [...grams.querySelectorAll<HTMLElement>('figure')];
  if (figures.length === 0) return;
  const control = document.createElement('p');
  control.className = 'gram-control';
  const label = document.createElement('label');
  label.textContent = 'Layer';
  label.htmlFor = 'gram-layer';
  const slider = document.createElement('input');
  Object.assign(slider, { type: 'range', id: 'gram-layer', min: '0', max: String(figures.length - 1), step: '1' });
  slider.value = '0';
  const output = document.createElement('output');
  output.htmlFor.add('gram-layer');
  const save = document.createElement('button');
  save.type = 'button';
  save.textContent = 'PNG';
  save.setAttribute('aria-label', 'Save the Gram picture of this layer as PNG');
  control.append(label, slider, output, save);
  grams.before(control);
  grams.classList.add('stepped');

  const shown = (): HTMLElement => figures[Number(slider.value)];
  const show = (): void => {
    const name = shown().dataset.layer ?? '';
    for (const figure of figures) figure.hidden = figure !== shown();
    output.textContent = name;
    slider.setAttribute('aria-valuetext', `layer ${name}`);
  };
  slider.addEventListener('input', show);
  save.addEventListener('click', () => {
    const [, base64 = ''] = shown().querySelector('img')?.src.split(',') ?? [];
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    saveFile(`gram-layer-${(shown().dataset.layer ?? '').padStart(2, '0')}.png`, bytes, 'image/png');
  });
  addEventListener('beforeprint', () => {
    for (const figure of figures) figure.hidden = false;
  });
  addEventListener('afterprint', show);
  show();
}
