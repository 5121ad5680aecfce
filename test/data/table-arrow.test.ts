import { inflateRawSync } from 'node:zlib';
import {
  bool,
  dateDay,
  decimal,
  dictionary,
  float64,
  int32,
  int64,
  list,
  TimeUnit,
  tableFromArrays,
  tableToIPC,
  timestamp,
  uint64,
  utf8,
} from '@uwdata/flechette';
import { describe, expect, it } from 'vitest';
import { readTable, type Table } from '../../src/data/table.js';
import { RfmError } from '../../src/errors.js';
import { usable } from '../../src/table/checks.js';
import { inputMessage, put, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();
let count = 0;
const table = (bytes: Uint8Array | string, name = 't.arrow'): Promise<Table> =>
  readTable(put(dir, `${++count}-${name}`, bytes), '');

/** The message of what is refused. */
async function refusal(bytes: Uint8Array | string, name?: string): Promise<string> {
  const failure = await table(bytes, name)
    .then(({ columns }) => columns.forEach(usable))
    .then(
      () => null,
      (error: unknown) => error,
    );
  return inputMessage(() => {
    if (failure) throw failure;
  }).replace(/^\S+\/\d+-/, '');
}

/**
 * 40 rows by apache-arrow, another program than the one that reads them, with buffers packed by lz4 and zstd themselves: doubles,
 * 64-bit integers, categories and days; a double and a category are missing. The third has packed lengths in place of unpacked ones.
 */
const WRITTEN = {
  LZ4: 'hVRNaBNREP7eZhNfaWiWvGDXEjysCCmVUquVSsVu6l9rDQ0FETwpWrDQJsUKogcJKII3exfpzYsHT1LFQ1GPHhS8e/TiwWOhh2fn7bxsdpPghOyb+d7M7PdmZ151eXnpxklAa613AJQQSR4+DqMADy7yACbQFscziwsJySvgmZgyPOQhOabM/zqATBwP1/ySWFr81Frq2BM9YjUL6VkAA4ZPjC9+eb/WmGs2GtfX1q1/RfQ/73fRTp0pMet+59sGUOlxPtmBjfFq6/jT+orkOSTbU2yHIhm/wfY4269T8dtsjyb4xPyseyVVv//thzZXUPPvhm/oczf3TcEFgnrbbacy8yPBm/0/ADgCgdG92QImUQw9KF9CHZVQgYQ6LqEqEmpMojguEbQmDh6YJO0UaVOknSFtmrSzpM2Qdo608xLHWrMSxVAiCKsEzUmoXXK44CEILxJ0yUKXCbpC0LyFFgi6StBiBL1rXYuOHNbMeuvt/ose5xoBoCCghIRyJFwHBR96IK6IGN563qd+v7rr96T29HOi/uyvANyGcCCQQyGDbN0hi2Rk4eNW1IMd/kMAlgZr9O2f1UEKyc2/n353zAvac1vCkOl8afqasBPcOSH3hO3l3VQf257ZszjXx87Phtba5R78czAvrwDMs31aa83zJ3jOZYn3Ht5badj8QZtrGRIFDMOHC8/wnI7vBpsj63OOO6sPHnXPZHxnkf0tyi3I/trNxynzfXK/2VzftDNq7oBDtiYiNNyI0yCUYZM33FK5MmV+5+bq45W4ejlI5JCLXoeXAqiaO/kf',
  ZSTD: 'fVRNaBNBFP5ms01XEsyqQReMJS1RK4pGt4ZIi5lUbattEWqLEfEkkRTyR+tf1cKKN0Go0EtAQRRBbyIqelvUg4Ig4kEoQnsRFMSzILI6szPJZmN8kLx98958+72Z9212YuLo8d2A4ziODSAK18IwsB4R6FARBpBE3RSdOxUaNOEBne/pgo4wNLEnDiABIAcgAK8FoaETQTcgzblmM3w+6smRFly3D2bsuQPAKs6rsT766lmxPFgpl6eKJVmfJO37zpE6dCAq+m7X54O/v97/9Kl5Mt3Cy/qbwr/w9WP76r769uuCX0LEfaR5f1rEcc+a6sEjPnz44nZ5Ktef7vqt5vJA8hc/doJMds2ZsbuLso54674EMKkCPzNYS2F09Wzu3b7TSmKPZWKvlULa2od+awD7rQylWQza1gF6EIdsa4gOY8S2DtMjGLWtMTpOt8RXPgXMjaUnHx4bF1eu1m6klgonwgPVR5+HzKXCPRayv4UrtfzbrebJ6+dj1y7nqnP3v/2T120+4AQKVGzqn0IiaEQQ+vh+/mVrn8uNPie7z834zsetmwdGQBR2ekQhSP3QFjWzyPJ3mupOAfHQOHtzbduwuvz84TE5u66eoljNJ1Hjc8bWdogbpOJu5Ey9ET7p04e8QDkHcp6rjuOoYha+A7gFRtmN+xzHEXogQndaVOQuFPJlid9T5xqDhgg2wIAKnfNMN7QqMToMgXF6+uxcYxZVvub9lrD4nYvNNfO6lY8SE/qeqVRKswJL45rslGdCKOfGOIWwjrMJc24+rEBMvHN2+lK+WbtBoV0FCwTI8m/lHw==',
  'ZSTD with other lengths':
    'fVRNaBNREP7eZps+STCrBl0xlrRErSgaTQ2RFrOp2tb+INQWI+JJIinkj9a/qoUVTwpChV4CelEEvYmo6G1RDwqCiAehCO1FUBDPgsjafTub7G6JA8nsvJn37TfvfbO58fHjJ/cBpmmaBoAobAtDxUZEoEBGGEASDZMU4WRwcPKAIvZ0QEEYnPbEASQA5AEE4LYgONoRtAPmzXlN9fmoK8dW4dp9WGY9twFYI3g110fevChV+quVymSp7NQnWeu+86wBHYhS3636fLTy6/5Pn9yV6STv1N8h/8rXj+Gr++7brxC/BMU9zLs/Q3HctSa78JgPH764VX6zs/587185XwCSf8SxM2Rz686N3l+g/E1P3bcAJmTgdxbrNagdXdu6d+3Rk9ivp3BATyOjH0Sv3odDelbTcug39MPaERw19AFtEEOGfkwbxoihj2pj2vb48pdAakv52aen6uXl6/Xb6cXiqXBf7cnXgdRi8YEVWn/z1+qF9ztSp29djN24mq/NPvwB73nYvO4JgTNIkLG1dxKJoBpB6PPHuder+1xq9jnReWGa8jFP3RwwBCZZp8ckhvQvvsBTJbeO7bozQDw0Zr25vnNQXnr5+ISjXXueolgrlMiFzqy13XSDGt2No6l35JO++XAu0NGBo+eaaZoyaeHnCv+7sCjbcY9pmjQPjPjyKOUuFQsVB7+rwTUGjgg2QYUMRfDMNGfVwWhTCePs1PnZphZlseb+lljxBxtbzMzb1XykGM33dLVaniEsLmay3TkTpgluFqcQNgg2YcHNhxWI0Ttnpq4UvLMbpNmVMM+AnPhW/gM=',
  stream:
    '7VLLShxBFD3d0xlLHWKjgzYyiAiBgUAQXyiKto9EEyNkky8IQgSdERVCXPVnuHDhJ7hyLejChf/gD/gBgosrdeuU9rSMWSQLF7ndM6dPnap777ndIiLfAiCGjS7EeIsOGHQpR2AUIuyKSKRPwC2AYwBr5BMiUuX+xKGpUvv1c7MBxoiIWIxRg0EPBpAgQqy1pwEUcrxJmOPH1sFvnyPSCzAwygz3XLvc2u/l837Cmk0IYK/Z3NlnLoMKjLp1e1PtzfbUjT7tpqK9FXKVaqy5v3W4iccow6CMsisHEZHTp7OooIZBzRqhAmAYLRHGdOcm73z5d5Jon5EqVc69lDtcQvuI26AaanPWzqlTewbWL862G0vNRuP79o7VrK8kyPvqRxU9iOnr6ilhKVYnz/s/AlDP1TO557SIgcMsaO3Rc6+fh63nvDFfp14w6vlJbi3K7ffl6oXZ/Em/F37k/yTuFlp5L+0lxCHiCPEdsU58T/zgMBslHyMfJ58knyKfJp8hnyWfI58nXyCmDtNF6ksOz4nZMvUV6h+pE7NP1Fepr1EnZp+pf6G+Tp2YfaW+kaLwfsLCRP+vv7x+87ffbxDa3Pb/xbt7A6/658fwAA==',
};
/** Views of texts, short ones in place. */
const VIEWS =
  'pZKxSgNBEIa/M+uxkCMueMgVKbYIaCvYm/SCkMY6wmGEkEBu0aTzcXwUCx/A0tLSN1jZde7cBFL5w/LPDLMzw/wzmU5v7y7Be+8/gZJfFJxRcoJBUQBvdOiFHMWAIYYCLR5UwAjYxMgfMnktjhN7fIBfhC+EX9lF69skdpT0bfupvX99/ocwezNfrZ3458DMuvpQfib7aBFyN866+czZx8YuVsuHeh3cpXXP9eKptvdbVzeS/X29uxYtbMZBr2hFrUoGUSkdtTKdjoqrvVm02F/Cia5o0VLL3sI+b8R+997LbWTCvUpqbrsKOZqcXNQwVCj6nMZpimSurkZVSo2m00vFfh/AJN7mDw==';

const unpacked = (text: string): Buffer => inflateRawSync(Buffer.from(text, 'base64'));
const written = (columns: Parameters<typeof tableFromArrays>[0], types: object, format: 'file' | 'stream' = 'file') =>
  tableToIPC(tableFromArrays(columns, { types: types as never }), { format })!;

describe('Arrow', () => {
  it.each(Object.entries(WRITTEN))('is read: %s', async (_, text) => {
    const t = await table(unpacked(text), 't.feather');
    const rows = Array.from({ length: 40 }, (_, i) => i);
    expect(t.columns.map(({ name, kind, values }) => [name, kind, [...values]])).toEqual([
      ['size', 'number', rows.map((i) => (i === 2 ? Number.NaN : 1.5 * i))],
      ['rooms', 'number', rows.map((i) => i % 3)],
      ['city', 'text', rows.map((i) => (i === 5 ? null : ['Köln', 'Bonn', 'Ulm'][i % 3]))],
      ['when', 'text', rows.map(() => '2024-01-01')],
    ]);
    expect(t.rowName(39)).toBe('row 40');
  });

  it('may have views of texts, truth values and decimal numbers', async () => {
    const { columns } = await table(unpacked(VIEWS));
    expect(columns[0].values).toEqual(['short', 'a text that is longer than twelve bytes', null, 'x']);
    const types = { price: decimal(20, 2, 128), wide: decimal(40, 3, 256) };
    const found = await table(
      written({ price: [1.25, -3.5, null], wide: [1, 2, 3.125], is: [true, false, null] }, types),
    );
    expect(found.columns.map(({ values }) => [...values])).toEqual([
      [1.25, -3.5, Number.NaN],
      [1, 2, 3.125],
      ['true', 'false', null],
    ]);
  });

  it('lacks the values that CSV lacks', async () => {
    const found = await table(written({ k: ['', 'NA', ' Rome ', 'null'] }, { k: utf8() }));
    expect(found.columns[0].values).toEqual([null, null, 'Rome', null]);
  });

  it('has dates and times as pandas writes them to CSV', async () => {
    const at = (...texts: (string | null)[]) => texts.map((text) => (text === null ? null : new Date(`${text}Z`)));
    const types = { day: dateDay(), time: timestamp(TimeUnit.MILLISECOND), midnight: timestamp(TimeUnit.MILLISECOND) };
    const found = await table(
      written(
        {
          day: at('1969-12-31T00:00', null, '2024-02-29T00:00'),
          time: at('2024-01-05T00:00', '2024-01-05T10:30:15.250', null),
          midnight: at('2024-01-05T00:00', null, '0033-04-03T00:00'),
        },
        types,
      ),
    );
    expect(found.columns.map(({ values }) => [...values])).toEqual([
      ['1969-12-31', null, '2024-02-29'],
      ['2024-01-05 00:00:00', '2024-01-05 10:30:15.250', null],
      ['2024-01-05', null, '0033-04-03'],
    ]);
  });

  it.each(['file', 'stream'] as const)('with any byte damaged is refused, or read, in a moment: %s', async (format) => {
    const columns = { x: [1.5, null, 2], city: ['a', 'b', 'a'], is: [true, false, null] };
    const types = { x: float64(), city: dictionary(utf8(), int32()), is: bool() };
    const bytes = Buffer.from(written(columns, types, format));
    expect((await table(bytes)).rows).toBe(3);
    const refusals = new Set<string>();
    for (let at = 0; at < bytes.length; at++) {
      // A length becomes large, or negative.
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 0xff;
      // Text and numbers may be others. Nothing but a word to the user is thrown.
      const found = await table(damaged).catch((error: unknown) => error);
      if (found instanceof RfmError) refusals.add(found.message.replace(/^.*?: |-?\d+/g, ''));
      else expect(found).toHaveProperty('rows', 3);
    }
    const said = [...refusals].join('\n');
    expect(said).toContain('a list of  entries in  bytes');
    expect(said).toContain('a batch of  rows');
    expect(said).toContain('a message of  bytes');
  });

  it('is refused in one line where its columns are not flat, or float64 does not hold their numbers', async () => {
    const y = [1, 2];
    const of = (values: unknown[], type: object) =>
      refusal(written({ a: values as never, y }, { a: type, y: float64() }));
    expect(await of([1n, 2n ** 53n + 1n], int64())).toBe(
      't.arrow: column "a", row 2: holds whole numbers beyond 2^53, which float64 does not tell apart, such as identifiers; drop the column with option drop',
    );
    expect(await of([2n ** 63n, 1n], uint64())).toContain('column "a", row 1: holds whole numbers beyond 2^53');
    expect(await of([10n ** 19n, 1n], decimal(20, 0, 128))).toContain('column "a", row 1: holds whole numbers');
    expect(await of([[1], [2, 3]], list(float64()))).toBe(
      't.arrow: column "a": holds lists or structures, expected numbers or texts; leave it out of the file',
    );
    expect(await of([{ b: 1 }, { b: 2 }], tableFromArrays({ s: [{ b: 1 }] }).schema.fields[0].type)).toContain(
      'holds lists or structures',
    );
    expect(await of([1, Number.POSITIVE_INFINITY], float64())).toContain('column "a", row 2: is infinite');
    expect(await refusal(written({ a: [] as string[] }, { a: utf8() }))).toContain('has no rows below its header');
  });

  it('is refused in one line where it is cut short, damaged or something else', async () => {
    for (const whole of [unpacked(WRITTEN.LZ4), unpacked(WRITTEN.stream)]) {
      for (const bytes of [8, 100, 700, whole.length - 1]) {
        expect(await refusal(whole.subarray(0, bytes))).toBe(
          't.arrow: is cut short: the mark at its end is missing; copy it again',
        );
      }
      const gap = Buffer.concat([whole.subarray(0, 600), whole.subarray(1000)]);
      expect(await refusal(gap)).toMatch(/^t.arrow: cannot be read as Arrow \(.+\); write it again$/);
    }
    expect(await refusal('PAR1, and so on')).toBe('t.arrow: is a Parquet file; call it .parquet');
    expect(await refusal('FEA1, and so on', 't.feather')).toContain(
      'is a Feather file of version 1; write it as version 2',
    );
    expect(await refusal('a,b\n1,2\n', 't.ipc')).toBe(
      't.ipc: is no Arrow file, expected Arrow IPC or Feather; write it as one, or as CSV',
    );
    expect(await refusal('')).toBe('t.arrow: is empty; give a table with rows');
    expect(await refusal(unpacked(WRITTEN.ZSTD), 't.csv')).toContain('is an Arrow file, expected a table as text');
  });
});
