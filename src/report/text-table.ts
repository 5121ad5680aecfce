/** A table as cells; the first `left` columns hold text. */
export interface Table {
  header: string[];
  rows: string[][];
  left: number;
}

/** Lines of a table for a terminal: text on the left, numbers on the right. */
export function tableText({ header, rows, left }: Table): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => [...row[column]].length)));
  return all.map((row) =>
    row
      .map((cell, column) => {
        const blanks = ' '.repeat(widths[column] - [...cell].length);
        return column < left ? cell + blanks : blanks + cell;
      })
      .join('  ')
      .trimEnd(),
  );
}
