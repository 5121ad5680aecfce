import { describe, expect, it } from 'vitest';
import { tarFiles } from '../../scripts/untar.mjs';

interface Entry {
  name: string;
  text?: string;
  type?: string;
  prefix?: string;
}

/** One entry as tar writes it: header, data, padding. */
function entry({ name, text = '', type = '0', prefix = '' }: Entry): Buffer {
  const data = Buffer.from(text);
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\x0000', 257);
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

const archive = (...entries: Entry[]) => Buffer.concat([...entries.map(entry), Buffer.alloc(1024)]);
const read = (bytes: Buffer) =>
  [...tarFiles(bytes)].map(({ name, data }) => [name, Buffer.from(data).toString()] as const);

describe('tarFiles', () => {
  it('reads files of any length and skips directories and links', () => {
    const long = 'x'.repeat(512);
    const bytes = archive(
      { name: 'dir/', type: '5' },
      { name: 'dir/a', text: 'hello' },
      { name: 'link', type: '2' },
      { name: 'b', text: long },
      { name: 'empty' },
    );
    expect(read(bytes)).toEqual([
      ['dir/a', 'hello'],
      ['b', long],
      ['empty', ''],
    ]);
  });

  it('joins the ustar prefix and obeys long names of pax and GNU', () => {
    const bytes = archive(
      { name: 'file', prefix: 'some/where', text: '1' },
      { name: 'pax', type: 'x', text: '19 path=long/name1\n' },
      { name: 'short', text: '2' },
      { name: '././@LongLink', type: 'L', text: 'long/name2\0' },
      { name: 'short', text: '3' },
      { name: 'plain', text: '4' },
    );
    expect(read(bytes).map(([name]) => name)).toEqual(['some/where/file', 'long/name1', 'long/name2', 'plain']);
  });

  it('refuses damaged and truncated archives', () => {
    const good = archive({ name: 'a', text: 'hello' });
    const bad = Buffer.from(good);
    bad[0] = bad[0]! ^ 1;
    expect(() => read(bad)).toThrow('checksum');
    expect(() => read(good.subarray(0, 515))).toThrow('truncated');
    expect(() => read(good.subarray(0, 1024))).toThrow('truncated');
    expect(() => read(Buffer.alloc(0))).toThrow('truncated');
  });
});
