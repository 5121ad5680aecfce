/** What moves in a report: values under the pointer, tables and figures as files, the slider over Gram pictures. */

import { addDownloads } from './downloads.js';
import { addGramSlider } from './gram-slider.js';
import { addReadout } from './readout.js';

for (const figure of document.querySelectorAll<HTMLElement>('figure[data-chart]')) {
  addReadout(figure);
  addDownloads(figure);
}
for (const table of document.querySelectorAll<HTMLElement>('[data-table]')) addDownloads(table);
for (const grams of document.querySelectorAll<HTMLElement>('.grams')) addGramSlider(grams);
