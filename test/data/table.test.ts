import { describe, expect, it } from 'vitest';
import { writeNpy } from '../../src/data/npy.js';
import { readTable, type Table } from '../../src/data/table.js';
import { RfmError } from '../../src/errors.js';
import { usable } from '../../src/table/checks.js';
import { encodeRows, featureNames, learnEncoding } from '../../src/table/encoding.js';
import { readTarget, readTargetAs } from '../../src/table/target.js';
import { put, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();
let count = 0;
const table = (text: string | Uint8Array, name = 't.csv', delimiter?: string): Promise<Table> =>
  readTable(put(dir, `${++count}-${name}`, text), '', { delimiter });

/** The message of what is refused, a table when its columns are used; it is one line, and of kind input. */
async function refusal(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    const found = await (typeof work === 'function' ? work() : work);
    if (typeof found === 'object' && found !== null && 'columns' in found) (found as Table).columns.forEach(usable);
  } catch (error) {
    if (!(error instanceof RfmError)) throw error;
    expect(error.kind).toBe('input');
    expect(error.message).not.toContain('\n');
    return error.message.replaceAll(dir, '').replace(/^\/?\d+-/, '');
  }
  throw new Error('expected an input error, but nothing was thrown');
}

const all = (t: Table): number[] => Array.from({ length: t.rows }, (_, i) => i);
const options = { target: 'y', drop: [], categories: [], missing: 'refuse' } as const;

describe('a table from text', () => {
  it('has numbers and texts, with quotes, signs, exponents and what stands for a missing value', async () => {
    const t = await table(
      '\uFEFFid,size,"city, town",y\r\n1,-1.5e2,"Köln ""am Rhein""",0\r\n\r\n2,.5,NA,1\r\n3,+7,"two\nlines",?\r\n4,nan,Bonn,2\r\n',
    );
    expect(t.rows).toBe(4);
    expect(t.columns.map(({ name, kind }) => [name, kind])).toEqual([
      ['id', 'number'],
      ['size', 'number'],
      ['city, town', 'text'],
      ['y', 'number'],
    ]);
    expect([...t.columns[1].values]).toEqual([-150, 0.5, 7, Number.NaN]);
    expect(t.columns[2].values).toEqual(['Köln "am Rhein"', null, 'two\nlines', 'Bonn']);
    expect([...t.columns[3].values]).toEqual([0, 1, Number.NaN, 2]);
    expect([0, 1, 2, 3].map((row) => t.rowName(row))).toEqual(['line 2', 'line 4', 'line 5', 'line 7']);
  });

  it('finds the delimiter, or takes the one that is given', async () => {
    for (const [mark, name] of [
      [';', 'a.csv'],
      ['|', 'b.txt'],
      ['\t', 'c.tsv'],
      ['\t', 'd.csv'],
    ] as const) {
      const t = await table(`a${mark}b${mark}c\n1${mark}x${mark}3\n`, name);
      expect(t.columns.map((column) => column.name)).toEqual(['a', 'b', 'c']);
    }
    const t = await table('a:b\n1:2\n', 'e.csv', ':');
    expect(t.columns.map((column) => [...column.values])).toEqual([[1], [2]]);
  });

  it.each([
    ['', /is empty; give a table/],
    ['\n\n', /holds blank lines alone/],
    ['a,b\n', /has no rows below its header/],
    ['a,b\n1,2\n3\n', /line 3 has 1 fields, the header has another number, with comma as the delimiter/],
    ['a,b\n1,2\n3,4,5\n', /line 3 has 3 fields/],
    ['a,b\n1,"2\n3,4\n', /a quote that opens on or before line \d+ is not closed/],
    ['a,b,a\n1,2,3\n', /columns 1 and 3 are both called "a"/],
    ['a,,b\n1,2,3\n', /column 2 of the header has no name/],
    ['1,2\n3,4\n', /line 1 holds numbers alone, expected the names/],
    ['a\n1;2\n3;4\n', /has one column, "a", with comma as the delimiter; rows have semicolons: use --delimiter ';'/],
    ['a;b\n1,5;2\n3,25;4\n', /column "a", line 2: 1,5 has a decimal comma, expected a point; write 1.5/],
    ['a,b\n1,2\n3,inf\n', /column "b", line 3: is infinite/],
    ['a,b\n1,2\n3,-Infinity\n', /column "b", line 3: is infinite/],
    ['a,b\n1,12345678901234567890\n2,3\n', /column "b", line 2: holds whole numbers beyond 2\^53/],
    ['<!doctype html><p>not found', /is a web page, expected a table/],
    ['a,b\n1,\u0000\n', /holds zero bytes, so it is no text/],
  ])('%j is refused in one line', async (text, message) => {
    expect(await refusal(table(text))).toMatch(message);
  });

  it('may have what is refused in columns that nobody uses', async () => {
    const t = await table('a,y,ratio,id,price\n1,2,inf,12345678901234567890,"1,000"\n3,4,1,2,"2,500"\n');
    const encoding = { ...options, drop: ['ratio', 'id', 'price'] };
    expect(learnEncoding(t, all(t), encoding).encoding.map(({ name }) => name)).toEqual(['a']);
    expect([...encodeRows(t, learnEncoding(t, all(t), encoding).encoding).x]).toHaveLength(2);
    const of = (...drop: string[]) => refusal(() => learnEncoding(t, all(t), { ...options, drop }));
    expect(await of()).toMatch(/column "ratio", line 2: is infinite; remove the row, or drop the column with/);
    expect(await of('ratio')).toMatch(/column "id", line 2: holds whole numbers beyond 2\^53/);
    expect(await of('ratio', 'id')).toMatch(/column "price", line 2: 1,000 has a comma/);
    expect(await refusal(() => readTarget(t, 'ratio', 'auto'))).toMatch(/column "ratio", line 2: is infinite/);
  });

  it('of one column has a row without a value for each blank line inside', async () => {
    const t = await table('\n\nx\n0.5\n\n1.5\n""\n0.25\n\n\n');
    expect([t.rows, ...t.columns[0].values]).toEqual([5, 0.5, Number.NaN, 1.5, Number.NaN, 0.25]);
    expect([0, 1, 4].map((row) => t.rowName(row))).toEqual(['line 4', 'line 5', 'line 8']);
    expect((await table('x,y\n1,2\n\n3,4\n\n')).rows).toBe(2);
    // A quoted cell is none.
    expect([...(await table('x\n1.5\n""\n2.5\n""\n  \n')).columns[0].values]).toEqual([
      1.5,
      Number.NaN,
      2.5,
      Number.NaN,
    ]);
  });

  it('has a date however it is written, whatever stands beside it', async () => {
    const t = await table(
      'd,y\n2020-01-03,1\n2020-01-03 12:00:00,2\n2020-01-04 00:00:00,3\n2020-01-03,4\n2020-01-04,5\n2020-01-03 12:00:00,6\n',
    );
    const { encoding } = learnEncoding(t, all(t), options);
    const column = async (text: string) => {
      const { x, unknown, cols } = encodeRows(await table(`d\n${text}\n2020-01-04\n`), encoding);
      return [unknown.size, [...x.subarray(0, cols)].indexOf(1)];
    };
    const same = ['2020-01-03', '2020-01-03 00:00', '2020-01-03T00:00:00.000Z', '2020-01-03 00:00:00'];
    for (const text of same) expect(await column(text)).toEqual([0, 0]);
    for (const text of ['2020-01-03T12:00:00Z', '2020-01-03 12:00']) expect(await column(text)).toEqual([0, 1]);
    expect(await column('2020-01-03 12:00:01')).toEqual([1, -1]);
  });

  it('refuses other encodings, formats and delimiters by name', async () => {
    expect(await refusal(table('a\tb\n1\t2\n', 'x.csv', ','))).toMatch(
      /one column.*rows have tabs: use --delimiter 'tab'/,
    );
    expect(await refusal(table(Uint8Array.of(0xff, 0xfe, 97, 0)))).toMatch(/is UTF-16 text/);
    expect(await refusal(table(Uint8Array.of(97, 44, 98, 10, 0xe4, 44, 49, 10)))).toMatch(/is not UTF-8 text/);
    expect(await refusal(table('x', 't.xlsx'))).toMatch(/is a spreadsheet.*export it as CSV/);
    expect(await refusal(readTable('/nowhere/t.csv', '--test'))).toMatch(/--test \/nowhere\/t.csv: no such file/);
  });
});

/** Written by hyparquet-writer: a column of doubles, one of 64-bit integers, one of texts; the first and last with a null. */
const PARQUET =
  'UEFSMRUGFTQVMFwVCBUCFQgVABUEFQAAAAMLGAAABQEE+D8FBygABEAAAAAAAAAQQBUGFUQVNFwVCBUAFQgVABUEFQAAAAMPIAQBAAkBAAIJBwQAAw0IHAQAAAAAAAAAFQYVOBU8XBUIFQIVCBUAFQQVAAAAAwsaZAUAAABLw7ZsbgQAAABCb25uBQAAAEvDtmxuFQQZTEgEcm9vdBUGABUKJQIYBHNpemUAFQQlAhgFcm9vbXMAFQwlAhgEY2l0eSUAABYIGRwZPCYIHBUKGRUAGRgEc2l6ZRUCFggWXhZaJgg8NgIoCAAAAAAAABBAGAgAAAAAAAD4PzYAABkcFQYVABUCAAAAJmIcFQQZFQAZGAVyb29tcxUCFggWbhZeJmI8NgAoCAQAAAAAAAAAGAgBAAAAAAAAAAAZHBUGFQAVAgAAACbAARwVDBkVABkYBGNpdHkVAhYIFmIWZibAATw2AigFS8O2bG4YBEJvbm4AGRwVBhUAFQIAAAAWrgIWCDaeAgAoCWh5cGFycXVldBk8HAAAHAAAHAAAAAkBAABQQVIx';

/** The same program's: columns 10, a and 2; columns a, b and a. */
const ODD_NAMES =
  'UEFSMRUGFSQVJFwVBBUAFQQVABUEFQAAAAMDEAAABQEk4D8AAAAAAAD4PxUGFSQVJFwVBBUAFQQVABUEFQAAAAMDEAAABQEk+D8AAAAAAAAEQBUGFSQVJFwVBBUAFQQVABUEFQAAAAMDEAAABQEkBEAAAAAAAAAMQBUEGUxIBHJvb3QVBgAVCiUCGAIxMAAVCiUCGAFhABUKJQIYATIAFgQZHBk8JggcFQoZFQAZGAIxMBUCFgQWThZOJgg8NgAoCAAAAAAAAPg/GAgAAAAAAADgPzYAABkcFQYVABUCAAAAJlYcFQoZFQAZGAFhFQIWBBZOFk4mVjw2ACgIAAAAAAAABEAYCAAAAAAAAPg/NgAAGRwVBhUAFQIAAAAmpAEcFQoZFQAZGAEyFQIWBBZOFk4mpAE8NgAoCAAAAAAAAAxAGAgAAAAAAAAEQDYAABkcFQYVABUCAAAAFuoBFgQ26gEAKAloeXBhcnF1ZXQZPBwAABwAABwAAAAAAQAAUEFSMQ==';
const SAME_NAMES =
  'UEFSMRUGFSQVJFwVBBUAFQQVABUEFQAAAAMDEAAABQEk4D8AAAAAAAD4PxUGFSQVJFwVBBUAFQQVABUEFQAAAAMDEAAABQEk+D8AAAAAAAAEQBUGFSQVJFwVBBUAFQQVABUEFQAAAAMDEAAABQEkBEAAAAAAAAAMQBUEGUxIBHJvb3QVBgAVCiUCGAFhABUKJQIYAWIAFQolAhgBYQAWBBkcGTwmCBwVChkVABkYAWEVAhYEFk4WTiYIPDYAKAgAAAAAAAD4PxgIAAAAAAAA4D82AAAZHBUGFQAVAgAAACZWHBUKGRUAGRgBYhUCFgQWThZOJlY8NgAoCAAAAAAAAARAGAgAAAAAAAD4PzYAABkcFQYVABUCAAAAJqQBHBUKGRUAGRgBYRUCFgQWThZOJqQBPDYAKAgAAAAAAAAMQBgIAAAAAAAABEA2AAAZHBUGFQAVAgAAABbqARYENuoBACgJaHlwYXJxdWV0GTwcAAAcAAAcAAAA/gAAAFBBUjE=';

/** 60 rows by pyarrow 25: doubles of which one is missing, integers, texts of which each third is missing. */
const PACKED: Readonly<Record<string, string>> = {
  zstd: 'UEFSMRUEFbAHFYIDTBV2FQASAAAotS/9YNgAvQUAlAYAAPg/ABJAABgeIiUoKy6AMAAygDMANYA2ADiAOQA7gDwAPoA/QEBBAELAgENARABFwIBGQEcASMCASUBKAEvAgExATQBOwIBPIFCA4EBRoABSYMAgU4DgQFSgAFVgwFVAAAAAAAAgVkA5IODXWQzMbLQs+Q7MLIuBmY2WJd+BB2Y22mhGy2LggQdmNtpoo2Ux8MADMxtttCEyHnhgAw888MADDzzwwMGy5MssC8y3ZM0JjnttFQAVdBWGASwVeBUQFQYVBhwAAAAotS/9IDrRAQAEAAAAA/toAQYRQCAMRGEcSKIsTOM8UCRNVGVdWKZtXOd9YCiOZGmeaKqubOu+cCzPdG3feK4DAAAAFQQVcBVITBUOFQASAAAotS/9IDjdAACgAAABAAIAAwAEAAUABgAAAAAAAAAGVAIAAwEVABVAFVIsFXgVEBUGFQYcAAAAKLUv/SAgAQEAAgAAAHgBAxGIxhrRWCMaa0RjjWisEY01orFGNNaIBgAVBBUiFTRMFQQVABIAACi1L/0gEYkAAAUAAABLw7ZsbgQAAABCb25uFQAVKBU6LBV4FRAVBhUGHAAAACi1L/0gFKEAAAkAAAAR27Zt27Zt2wYBC6qqqqqqFQQZTDUAGAZzY2hlbWEVBgAVCiUCGARzaXplABUEJQIYBXJvb21zABUMJQIYBGNpdHklAEwcAAAAFngZHBk8JgAcFQoZNQAGEBkYBHNpemUVDBZ4FuwIFtAEJqoDJggpLBUEFQAVAgAVABUQFQIAPCkGGSYCdgAAACYAHBUEGTUABhAZGAVyb29tcxUMFngW8gEW3AEmvAUm2AQpLBUEFQAVAgAVABUQFQIAPCkGGSYAeAAAACYAHBUMGTUABhAZGARjaXR5FQwWeBaMARawASaEBya0BiksFQQVABUCABUAFRAVAgA8FugCGQYZJihQAAAAFuoLFngmCBbcBwAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjUuMC4xGTwcAAAcAAAcAAAALAEAAFBBUjE=',
  lz4: 'UEFSMRUEFbAHFaQETBV2FQASAAAZAAEAIvg/DwAiEkAIABMYCAATHggAEyIIABMlCAATKAgAEysIABIuCAAigDAIACIAMggAIoAzCAAiADUIACKANggAIgA4CAAigDkIACIAOwgAIoA8CAAiAD4IACOAPwgAEkAIACJAQQgAIgBCCAATwAgAIoBDEAAiQEQIACIARQgAE8AIACKARhAAIkBHCAAiAEgIABPACAAigEkQACJASggAIgBLCAATwAgAIoBMEAAiQE0IACIATggAE8AIACKATxAAIiBQCAATgAgAE+AIACJAURgAE6AIACIAUhAAE2AIABPACAAiIFMYABOACAAT4AgAIkBUGAAToAgAIgBVEAATYAgAsMBVQAAAAAAAIFZAFQAVdBV4LBV4FRAVBhUGHAAAAPArBAAAAAP7aAEGEUAgDERhHEiiLEzjPFAkTVRlXVimbVznfWAojmRpnmiqrmzrvnAsz3Rt33iuAwAAABUEFXAVQkwVDhUAEgAAEwABABMBCAATAggAEwMIABMECAATBQgAgAYAAAAAAAAAFQAVQBVELBV4FRAVBhUGHAAAAPARAgAAAHgBAxGIxhrRWCMaa0RjjWisEY01orFGNNaIBgAVBBUiFSZMFQQVABIAAPACBQAAAEvDtmxuBAAAAEJvbm4VABUoFSgsFXgVEBUGFQYcAAAAgAkAAAAR27ZtAwCABgELqqqqqqoVBBlMNQAYBnNjaGVtYRUGABUKJQIYBHNpemUAFQQlAhgFcm9vbXMAFQwlAhgEY2l0eSUATBwAAAAWeBkcGTwmABwVChk1AAYQGRgEc2l6ZRUOFngW6ggW4gUmzAQmCCksFQQVABUCABUAFRAVAgA8KQYZJgJ2AAAAJgAcFQQZNQAGEBkYBXJvb21zFQ4WeBbyARbIASbIBibqBSksFQQVABUCABUAFRAVAgA8KQYZJgB4AAAAJgAcFQwZNQAGEBkYBGNpdHkVDhZ4FowBFpABJvQHJrIHKSwVBBUAFQIAFQAVEBUCADwW6AIZBhkmKFAAAAAW6AsWeCYIFroIACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNS4wLjEZPBwAABwAABwAAAAsAQAAUEFSMQ==',
  gzip: 'UEFSMRUEFbAHFcICTBV2FQASAAAfiwgAAAAAAAIDTctLagJBFIbRWoMjR9IIgiAEURTFYFd8vzVqMs5SailZSi/FZTh0UGfgnRx+Pm4I7/css7WYrbPBJltss8OPbOraPbtvD+yhPbLH9sT+tKd2yZiNX/osWzHN9YW+1JlW+lrf6ExbfafvdaaDftRPOtM5W1xsPhi/s/8M1+wfKxY3/3ww3v0z/PhnxeI3vgALqPJU2AEAABUAFXQVnAEsFXgVEBUGFQYcAAAAH4sIAAAAAAACA2NhYGBg/p3ByCbooMDjkijjsUjH57FNgIpvSGpsxLLcmOe1CRp9KZnzMlaty3m9r0DnfEnu/Yp1zEBdAPQl+Tc6AAAAFQQVcBVOTBUOFQASAAAfiwgAAAAAAAIDY2CAAEYozQSlmaE0C5RmhdJsUBoAKymudzgAAAAVABVAFWgsFXgVEBUGFQYcAAAAH4sIAAAAAAACA2NiYGCoYGQW7DgmdTFCWSrbJbk3Y41gr+mijW4m1zrYGADj+UufIAAAABUEFSIVSEwVBBUAEgAAH4sIAAAAAAACA2NlYGDwPrwtJ48FyHDKz8sDAPYr0w8RAAAAFQAVKBVGLBV4FRAVBhUGHAAAAB+LCAAAAAAAAgPjZGBgELy9LReE2Bi5V4EAAEIOtbQUAAAAFQQZTDUAGAZzY2hlbWEVBgAVCiUCGARzaXplABUEJQIYBXJvb21zABUMJQIYBGNpdHklAEwcAAAAFngZHBk8JgAcFQoZNQAGEBkYBHNpemUVBBZ4FuwIFqYEJuoCJggpLBUEFQAVAgAVABUQFQIAPCkGGSYCdgAAACYAHBUEGTUABhAZGAVyb29tcxUEFngW8gEW+AEmmAUmrgQpLBUEFQAVAgAVABUQFQIAPCkGGSYAeAAAACYAHBUMGTUABhAZGARjaXR5FQQWeBaMARbQASaKByamBiksFQQVABUCABUAFRAVAgA8FugCGQYZJihQAAAAFuoLFngmCBbuBwAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjUuMC4xGTwcAAAcAAAcAAAALAEAAFBBUjE=',
  brotli:
    'UEFSMRUEFbAHFdoBTBV2FQASAAAb1wEARIPTAlwqzR9r5ffkEoawhEdYwacYHkhvF7BFQ1sJyI/3XziHc/OKylWsMnVqQps60KM+DGkEE5rCfLUY4hJWGa1xA9uMdriHQ0ZHPME5owte4ZbRXfBIpfgsgVdxJninUvyUwLc4e8GPFQAVdBV8LBV4FRAVBhUGHAAAAIscgAQAAAAD+2gBBhFAIAxEYRxIoixM4zxQJE1UZV1Ypm1c531gKI5kaZ5oqq5s675wLM90bd94rgMAAAADFQQVcBUmTBUOFQASAAAbNwAABHash2zAkEbK+eo+KGoOFQAVQBVILBV4FRAVBhUGHAAAAIsPgAIAAAB4AQMRiMYa0VgjGmtEY41orBGNNaKxRjTWiAYAAxUEFSIVKkwVBBUAEgAACwiABQAAAEvDtmxuBAAAAEJvbm4DFQAVKBUwLBV4FRAVBhUGHAAAAIsJgAkAAAAR27Zt27Zt2wYBC6qqqqqqAxUEGUw1ABgGc2NoZW1hFQYAFQolAhgEc2l6ZQAVBCUCGAVyb29tcwAVDCUCGARjaXR5JQBMHAAAABZ4GRwZPCYAHBUKGTUABhAZGARzaXplFQgWeBbqCBacAyaCAiYIKSwVBBUAFQIAFQAVEBUCADwpBhkmAnYAAAAmABwVBBk1AAYQGRgFcm9vbXMVCBZ4FvIBFrABJuYDJqQDKSwVBBUAFQIAFQAVEBUCADwpBhkmAHgAAAAmABwVDBk1AAYQGRgEY2l0eRUIFngWjAEWnAEmmgUm1AQpLBUEFQAVAgAVABUQFQIAPBboAhkGGSYoUAAAABboCxZ4JggW6AUAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI1LjAuMRk8HAAAHAAAHAAAACwBAABQQVIx',
  snappy:
    'UEFSMRUEFbAHFaoETBV2FQASAADYAwAAMgEABPg/CQ8EEkAJCAAYDQgAHg0IACINCAAlDQgAKA0IACsNCAAuCQgEgDAJCAQAMgkIBIAzCQgEADUJCASANgkIBAA4CQgEgDkJCAQAOwkIBIA8CQgEAD4JCASAPw0IAEAJCARAQQkIBABCCQgAwA0IBIBDCRAEQEQJCAQARQkIAMANCASARgkQBEBHCQgEAEgJCADADQgEgEkJEARASgkIBABLCQgAwA0IBIBMCRAEQE0JCAQATgkIAMANCASATwkQBCBQCQgAgA0IAOANCARAUQkYAKANCAQAUgkQAGANCADADQgEIFMJGACADQgA4A0IBEBUCRgAoA0IBABVCRAAYA0IKMBVQAAAAAAAIFZAFQAVdBV4LBV4FRAVBhUGHAAAADrkBAAAAAP7aAEGEUAgDERhHEiiLEzjPFAkTVRlXVimbVznfWAojmRpnmiqrmzrvnAsz3Rt33iuAwAAABUEFXAVTEwVDhUAEgAAOAAADQEAAQ0IAAINCAADDQgABA0IPAUAAAAAAAAABgAAAAAAAAAVABVAFUQsFXgVEBUGFQYcAAAAIHwCAAAAeAEDEYjGGtFYIxprRGONaKwRjTWisUY01ogGABUEFSIVJkwVBBUAEgAAEUAFAAAAS8O2bG4EAAAAQm9ubhUAFSgVLCwVeBUQFQYVBhwAAAAUTAkAAAAR27Zt27Zt2wYBC6qqqqqqFQQZTDUAGAZzY2hlbWEVBgAVCiUCGARzaXplABUEJQIYBXJvb21zABUMJQIYBGNpdHklAEwcAAAAFngZHBk8JgAcFQoZNQAGEBkYBHNpemUVAhZ4FuoIFugFJtIEJggpLBUEFQAVAgAVABUQFQIAPCkGGSYCdgAAACYAHBUEGTUABhAZGAVyb29tcxUCFngW8gEW0gEm2AYm8AUpLBUEFQAVAgAVABUQFQIAPCkGGSYAeAAAACYAHBUMGTUABhAZGARjaXR5FQIWeBaMARaUASaECCbCByksFQQVABUCABUAFRAVAgA8FugCGQYZJihQAAAAFugLFngmCBbOCAAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjUuMC4xGTwcAAAcAAAcAAAALAEAAFBBUjE=',
};

describe('a table from other files', () => {
  it('reads Parquet', async () => {
    const t = await table(Buffer.from(PARQUET, 'base64'), 't.parquet');
    expect(t.columns.map(({ name, kind, values }) => [name, kind, [...values]])).toEqual([
      ['size', 'number', [1.5, 2.5, Number.NaN, 4]],
      ['rooms', 'number', [1, 2, 3, 4]],
      ['city', 'text', ['Köln', 'Bonn', null, 'Köln']],
    ]);
    expect(t.rowName(1)).toBe('row 2');
    const cut = Buffer.from(PARQUET, 'base64').subarray(0, 100);
    expect(await refusal(table(cut, 'cut.parquet'))).toMatch(/cannot be read as Parquet/);
  });

  it.each(Object.keys(PACKED))('reads Parquet packed by %s', async (packing) => {
    const bytes = Buffer.from(PACKED[packing], 'base64');
    const { columns } = await table(bytes, `${packing}.parquet`);
    const rows = Array.from({ length: 60 }, (_, i) => i);
    expect(columns.map(({ name, kind, values }) => [name, kind, [...values]])).toEqual([
      ['size', 'number', rows.map((i) => (i === 2 ? Number.NaN : 1.5 * i))],
      ['rooms', 'number', rows.map((i) => i % 7)],
      ['city', 'text', rows.map((i) => ['Köln', 'Bonn', null][i % 3])],
    ]);
    // What is damaged on the way is refused, whichever byte it is, or read as another number: never a crash.
    for (let at = 8; at < 200; at += 7) {
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 0x55;
      const found = await table(damaged, `${packing}-${at}.parquet`).catch((error) => error);
      if (found instanceof Error) expect(found).toBeInstanceOf(RfmError);
    }
  });

  it('keeps the order of names that are numbers, and refuses two of one name', async () => {
    const t = await table(Buffer.from(ODD_NAMES, 'base64'), 'odd.parquet');
    expect(t.columns.map(({ name, values }) => [name, [...values]])).toEqual([
      ['10', [0.5, 1.5]],
      ['a', [1.5, 2.5]],
      ['2', [2.5, 3.5]],
    ]);
    expect(await refusal(table(Buffer.from(SAME_NAMES, 'base64'), 'same.parquet'))).toMatch(
      /columns 1 and 3 are both called "a"/,
    );
  });

  it('names the columns of arrays by their numbers', async () => {
    const path = put(dir, 'a.npy', '');
    writeNpy(path, [2, 3], Float64Array.of(1, 2, 3, 4, 5, 6));
    const t = await readTable(path, '');
    expect(t.columns.map(({ name, values }) => [name, [...values]])).toEqual([
      ['x0', [1, 4]],
      ['x1', [2, 5]],
      ['x2', [3, 6]],
    ]);
  });
});

describe('columns as features', () => {
  it('standardises numbers by the training rows, and makes a feature of each level', async () => {
    const t = await table('a,k,c,y\n1,7,red,0\n3,7,blue,1\n5,7,red,0\n100,7,green,1\n');
    const { encoding, changes } = learnEncoding(t, [0, 1, 2], options);
    expect(featureNames(encoding)).toEqual(['a', 'c=blue', 'c=red']);
    expect(encoding[0]).toEqual({ name: 'a', kind: 'number', mean: 3, deviation: 2, fill: null });
    expect(changes).toEqual([
      '"k" was dropped: it is 7 in every training row',
      '"c" became 2 features, one for each level',
    ]);
    const { x, unknown } = encodeRows(t, encoding);
    expect([...x]).toEqual([-1, 0, 1, 0, 1, 0, 1, 0, 1, 48.5, 0, 0]);
    expect([...unknown]).toEqual([['c', { count: 1, last: 'green' }]]);
  });

  it('knows levels that are written as numbers in tables where all are numbers, too', async () => {
    const t = await table('code,y\n01,0\n02,1\nA1,1\n01,0\n');
    const { encoding } = learnEncoding(t, all(t), options);
    expect(featureNames(encoding)).toEqual(['code=01', 'code=02', 'code=A1']);
    const path = put(dir, `${++count}-later.csv`, 'code,y\n02,1\n01,0\n1,0\n');
    const later = await readTable(path, '', { texts: ['code'] });
    const { x, unknown } = encodeRows(later, encoding);
    expect([...x]).toEqual([0, 1, 0, 1, 0, 0, 0, 0, 0]);
    expect([...unknown]).toEqual([['code', { count: 1, last: '1' }]]);
  });

  it('knows categories of numbers and of booleans however they are written', async () => {
    const t = await table('k,b,y\n1,true,0\n2.5,false,1\n1,true,1\n');
    const { encoding } = learnEncoding(t, all(t), { ...options, categories: ['k'] });
    expect(featureNames(encoding)).toEqual(['k=1', 'k=2.5', 'b=false', 'b=true']);
    const { x, unknown } = encodeRows(await table('k,b\n1.0,True\n2.50,FALSE\nx,true\n'), encoding);
    expect([...x]).toEqual([1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1]);
    expect([...unknown]).toEqual([['k', { count: 1, last: 'x' }]]);
  });

  it('keeps the digits of numbers far from 0', async () => {
    const t = await table('a,y\n1000000000.001,0\n1000000000.002,1\n1000000000.003,1\n');
    const { encoding } = learnEncoding(t, all(t), options);
    const { x } = encodeRows(t, encoding);
    [-1, 0, 1].forEach((value, i) => void expect(x[i]).toBeCloseTo(value, 3));
  });

  it('puts means, medians and the most frequent level in the place of missing values, or refuses them', async () => {
    const t = await table('a,c,y\n1,red,0\n,red,1\n2,,0\n9,blue,1\n');
    expect(await refusal(() => learnEncoding(t, all(t), options))).toMatch(
      /column "a", line 3: has no value \(1 of its rows have none\); use option missing mean/,
    );
    const mean = learnEncoding(t, all(t), { ...options, missing: 'mean' });
    expect(mean.encoding[0]).toMatchObject({ fill: 4, mean: 4 });
    const median = learnEncoding(t, all(t), { ...options, missing: 'median' });
    expect(median.encoding).toMatchObject([
      { fill: 2, mean: 3.5 },
      { fill: 'red', levels: ['blue', 'red'] },
    ]);
    expect(median.changes).toEqual([
      '"a" had no value in 1 training row: 2 (the median) took its place',
      '"c" became 2 features, one for each level; "red", the most frequent, took the place of 1 missing value',
    ]);
    const { x } = encodeRows(t, median.encoding);
    expect([...x.subarray(6, 9)].map((value) => Math.round(1e3 * value))).toEqual([
      Math.round(1e3 * (-1.5 / Math.sqrt(41 / 3))),
      0,
      1000,
    ]);
    const complete = learnEncoding(await table('a,c,y\n1,red,0\n2,blue,1\n'), [0, 1], options);
    expect(await refusal(() => encodeRows(t, complete.encoding))).toMatch(/column "a", line 3: has no value/);
  });

  it('drops what is no category, what is asked for, and takes numbers as categories', async () => {
    const lines = Array.from({ length: 30 }, (_, i) => `r${i},${i % 3},${i},${i % 2}`);
    const t = await table(`id,code,n,y\n${lines.join('\n')}\n`);
    const { encoding, changes } = learnEncoding(t, all(t), { ...options, drop: ['n'], categories: ['code'] });
    expect(featureNames(encoding)).toEqual(['code=0', 'code=1', 'code=2']);
    expect(changes).toEqual([
      '"n" was dropped, as asked for',
      '"id" was dropped: its 30 texts in 30 rows are no categories',
      '"code" became 3 features, one for each level',
    ]);
    expect(await refusal(() => learnEncoding(t, all(t), { ...options, drop: ['n', 'code'] }))).toMatch(
      /no column is left to learn from/,
    );
  });

  it('refuses tables that lack a column, have texts for numbers, or numbers of another unit', async () => {
    const t = await table('a,b,y\n1,2,0\n2,4,1\n3,5,1\n');
    const { encoding } = learnEncoding(t, all(t), options);
    const of = async (text: string) => encodeRows(await table(text), encoding);
    expect(await refusal(of('a,c\n1,2\n'))).toMatch(
      /has no column "b", which the model was fitted with \(found: "a", "c"\)/,
    );
    expect(await refusal(of('a,b\n1,2\n2,many\n'))).toMatch(/column "b", line 3: is "many", expected a number/);
    expect(await refusal(of('a,b\n1,2e30\n'))).toMatch(/column "b", line 2: 2e\+30 is .* standard deviations from/);
    expect((await of('b,y,a\n2,9,1\n')).x).toEqual(encodeRows(t, encoding, [0]).x);
  });
});

describe('the target', () => {
  const of = async (values: readonly string[], task: Parameters<typeof readTarget>[2] = 'auto') =>
    readTarget(await table(`a,y\n${values.map((value, i) => `${i},${value}`).join('\n')}\n`), 'y', task);

  it('is of the task that its values show, or of the one that is given', async () => {
    expect((await of(['1', '0', '1'])).target).toEqual({
      task: 'binary',
      classes: ['0', '1'],
      labels: Int32Array.of(1, 0, 1),
    });
    expect((await of(['b', 'a', 'c', 'a'])).target).toEqual({
      task: 'multiclass',
      classes: ['a', 'b', 'c'],
      labels: Int32Array.of(1, 0, 2, 0),
    });
    expect((await of(['10', '9', '2', '9'])).target).toEqual({
      task: 'multiclass',
      classes: ['2', '9', '10'],
      labels: Int32Array.of(2, 1, 0, 1),
    });
    expect((await of(['1.5', '2', '3'])).target).toEqual({ task: 'regression', values: Float64Array.of(1.5, 2, 3) });
    expect((await of(['1', '2', '3'], 'regression')).target.task).toBe('regression');
    expect((await of(['1', '0'], 'regression')).found).toBe(null);
    expect((await of(['1', '0'])).found).toBe('task: binary, since "y" has 2 different whole numbers');
  });

  it.each([
    [['1', '1'], 'auto', /the target "y" is "1" in every row, expected at least two values or classes/],
    [['1', '', '2'], 'auto', /line 3: the target "y" has no value/],
    [['0x10', '0x11', '3'], 'regression', /the target "y" is "0x10" on line 2, expected numbers for task regression/],
    [['1', 'x', '2'], 'regression', /the target "y" is "x" on line 3, expected numbers for task regression/],
    [['1', '2', '3'], 'binary', /has 3 classes, expected 2 for task binary/],
    [Array.from({ length: 40 }, (_, i) => `t${i}`), 'auto', /has 40 different values in 40 rows, too many for classes/],
  ] as const)('%j as %s is refused in one line', async (values, task, message) => {
    expect(await refusal(of(values, task))).toMatch(message);
  });

  it('is that of another table in the same classes', async () => {
    const { target } = await of(['b', 'a', 'b']);
    const like = async (text: string) => readTargetAs(await table(text), 'y', target);
    expect(await like('a,y\n1,a\n')).toMatchObject({ labels: Int32Array.of(0) });
    expect(await refusal(like('a,y\n1,a\n2,c\n'))).toMatch(
      /line 3: the target "y" is "c", a class that no row of the training table has/,
    );
    const numbers = (await of(['0', '1', '0'])).target;
    expect(readTargetAs(await table('a,y\n1,1.0\n2,x\n3,00\n'.replace('x', '0')), 'y', numbers)).toMatchObject({
      labels: Int32Array.of(1, 0, 0),
    });
    expect(await refusal(like('a,z\n1,a\n'))).toMatch(/^target y: .* has no such column, found "a", "z"/);
  });
});
