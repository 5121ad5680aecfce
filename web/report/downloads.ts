/** Figures as SVG and PNG, tables as CSV, made in the page. */

import { saveFile } from '../shared/save.js';
import { svgPng, svgText } from '../shared/svg-file.js';

const cellText = (cell: HTMLTableCellElement): string => cell.dataset.v ?? cell.textContent?.trim() ?? '';

const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** The cells of a table; a heading over several columns stands before each of their names. */
export function tableCsv(table: HTMLTableElement): string {
  const heads = [...(table.tHead?.rows ?? [])];
  const names: string[] = [];
  const taken: boolean[][] = heads.map(() => []);
  heads.forEach((row, r) => {
    let column = 0;
    for (const cell of row.cells) {
      while (taken[r][column]) column++;
      for (let c = 0; c < cell.colSpan; c++, column++) {
        names[column] = [names[column], cellText(cell)].filter(Boolean).join(' ');
        for (let down = 1; down < cell.rowSpan; down++) if (taken[r + down]) taken[r + down][column] = true;
      }
    }
  });
  const body = [...table.tBodies].flatMap(({ rows }) => [...rows].map((row) => [...row.cells].map(cellText)));
  return [...(names.length > 0 ? [names] : []), ...body].map((cells) => `${cells.map(quoted).join(',')}\r\n`).join('');
}

function button(label: string, description: string, act: () => void | Promise<void>): HTMLButtonElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = label;
  made.setAttribute('aria-label', description);
  made.addEventListener('click', () => void act());
  return made;
}

/** Buttons below a figure or a table. */
export function addDownloads(part: HTMLElement): void {
  const name = part.dataset.chart ?? part.dataset.table ?? 'table';
  const svg = part.querySelector('svg');
  const table = part.querySelector('table');
  const tools = document.createElement('p');
  tools.className = 'tools';
  if (svg) {
    tools.append(
      button('SVG', `Save the figure ${name} as SVG`, () => saveFile(`${name}.svg`, svgText(svg), 'image/svg+xml')),
      button('PNG', `Save the figure ${name} as PNG`, async () =>
        saveFile(`${name}.png`, await svgPng(svg), 'image/png'),
      ),
    );
  }
  if (table) {
    tools.append(
      button('CSV', `Save the table ${name} as CSV`, () => saveFile(`${name}.csv`, tableCsv(table), 'text/csv')),
    );
  }
  const next = part.querySelector(':scope > figcaption, :scope > details');
  if (next) next.before(tools);
  else part.append(tools);
}
