import { describe, expect, it } from 'vitest';
import * as format from '../../src/report/format.js';

describe('formats', () => {
  it.each([
    [0, '0', '0'],
    [0.5, '0.5', '0.500'],
    [1e-6, '10⁻⁶', '1.00·10⁻⁶'],
    [1.2e-5, '1.2·10⁻⁵', '1.20·10⁻⁵'],
    [4.3381, '4.34', '4.34'],
    [-1 / 9, '-0.111', '-0.111'],
    [Number.NaN, 'n/a', 'n/a'],
    [Number.POSITIVE_INFINITY, 'n/a', 'n/a'],
  ])('writes %f in a sentence and in a table', (value, sentence, cell) => {
    expect(format.formatNumber(value)).toBe(sentence);
    expect(format.formatCell(value)).toBe(cell);
  });

  it('chooses units', () => {
    const seconds = [0.0123, 1.204, 119, 125.4, 7260].map(format.formatSeconds);
    expect(seconds).toEqual(['12.3 ms', '1.2 s', '119 s', '2 min 5 s', '2 h 1 min']);
    const bytes = [512, 41_943_040, 1536, 150_000_000_000].map(format.formatBytes);
    expect(bytes).toEqual(['512 B', '40 MiB', '1.5 KiB', '139.7 GiB']);
    expect([0.869, 1, null, Number.NaN].map(format.formatPercent)).toEqual(['86.9 %', '100.0 %', 'n/a', 'n/a']);
  });

  it('wraps at the parts and cuts what does not fit', () => {
    expect(format.wrapParts(['aaa', 'bbb', 'ccc'], 9)).toEqual(['aaa · bbb', 'ccc']);
    expect(format.wrapParts(['a'.repeat(20)], 5)).toEqual(['aaaa…']);
    expect(format.wrapParts([], 5)).toEqual([]);
  });

  it('names an adapter by what is known of it, and its kind whatever its length', () => {
    const adapter = { vendor: 'acme', architecture: '', device: '', description: '', type: 'software' as const };
    expect(format.adapterLabel(adapter)).toBe('acme, software');
    expect(format.adapterLabel({ ...adapter, vendor: '' })).toBe('unnamed adapter, software');
    const description = 'llvmpipe: Mesa 25.0.7 (LLVM 15.0.6) 0.0.1';
    expect(format.adapterLabel({ ...adapter, description }, 40)).toBe('llvmpipe: Mesa 25.0.7 0.0.1, software');
    expect(format.adapterLabel({ ...adapter, description: 'x'.repeat(99) }, 10)).toBe('xxxxxxxxx…, software');
  });
});
