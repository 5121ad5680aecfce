/**
 * Checks what an Arrow IPC file says of itself. Its metadata are FlatBuffers, whose vectors begin with their length, and the
 * package that reads them believes it: with one wrong bit it may count to two milliards, or go back in the file for ever.
 * Layout: https://arrow.apache.org/docs/format/Columnar.html and the schemas Message.fbs, Schema.fbs and File.fbs there.
 */

/** Rows that arrays of values can hold. */
const MOST_ROWS = 2 ** 27;
/** Fields within fields. */
const DEEPEST = 64;
/** Of version 4 on, buffers have no page. */
const VERSION_4 = 3;

const UNION = 14;
const HEADERS = { schema: 1, dictionaryBatch: 2, recordBatch: 3 } as const;

/** Metadata of a message, or of the footer; `fields` counts how many were looked at. */
interface Metadata {
  view: DataView;
  fields: number;
}

/** Where the value of a field lies, by the number of the field; null: it is not there. */
type Table = (slot: number) => number | null;

function tableAt({ view }: Metadata, index: number): Table {
  const at = index + view.getInt32(index, true);
  const fields = at - view.getInt32(at, true);
  const size = view.getInt16(fields, true);
  return (slot) => {
    const entry = 4 + 2 * slot;
    if (entry >= size) return null;
    const offset = view.getInt16(fields + entry, true);
    return offset === 0 ? null : at + offset;
  };
}

/** Where the entries of a vector lie. */
function vectorAt({ view }: Metadata, at: number | null, stride: number): number[] {
  if (at === null) return [];
  const base = at + view.getInt32(at, true);
  const length = view.getInt32(base, true);
  if (length < 0 || base + 4 + length * stride > view.byteLength)
    throw new Error(`a list of ${length} entries in ${view.byteLength} bytes`);
  return Array.from({ length }, (_, i) => base + 4 + i * stride);
}

function checkField(metadata: Metadata, index: number, depth: number): void {
  if (depth > DEEPEST || ++metadata.fields > metadata.view.byteLength)
    throw new Error('fields within fields without end');
  const field = tableAt(metadata, index);
  const [kind, type] = [field(2), field(3)];
  if (kind !== null && type !== null && metadata.view.getUint8(kind) === UNION)
    vectorAt(metadata, tableAt(metadata, type)(1), 4);
  for (const child of vectorAt(metadata, field(5), 4)) checkField(metadata, child, depth + 1);
  vectorAt(metadata, field(6), 4);
}

function checkSchema(metadata: Metadata, index: number): void {
  const schema = tableAt(metadata, index);
  for (const field of vectorAt(metadata, schema(1), 4)) checkField(metadata, field, 0);
  vectorAt(metadata, schema(2), 4);
}

function checkRows({ view }: Metadata, at: number | null, most: number): void {
  const rows = at === null ? 0n : view.getBigInt64(at, true);
  if (rows < 0n || rows > most) throw new Error(`a batch of ${rows} rows`);
}

/** @param bodyBytes of levels of a category, which take a bit at least unless they are compressed; null: of rows. */
function checkBatch(metadata: Metadata, index: number, version: number, bodyBytes: number | null): void {
  const batch = tableAt(metadata, index);
  const most = bodyBytes === null || batch(3) !== null ? MOST_ROWS : Math.min(MOST_ROWS, 8 * bodyBytes);
  checkRows(metadata, batch(0), most);
  for (const node of vectorAt(metadata, batch(1), 16)) checkRows(metadata, node, most);
  vectorAt(metadata, batch(2), version < VERSION_4 ? 24 : 16);
  vectorAt(metadata, batch(4), 8);
}

/** @returns where the next message begins; null where there is none. */
function checkMessage(bytes: DataView, at: number): number | null {
  const from = at + 4 <= bytes.byteLength && bytes.getInt32(at, true) === -1 ? at + 4 : at;
  const length = from + 4 <= bytes.byteLength ? bytes.getInt32(from, true) : 0;
  if (length === 0) return null;
  const start = from + 4;
  if (length < 0 || start + length > bytes.byteLength) throw new Error(`a message of ${length} bytes`);
  const metadata = { view: new DataView(bytes.buffer, bytes.byteOffset + start, length), fields: 0 };
  const message = tableAt(metadata, 0);
  const [version, kind, header, body] = [message(0), message(1), message(2), message(3)];
  const bodyBytes = body === null ? 0n : metadata.view.getBigInt64(body, true);
  if (bodyBytes < 0n || BigInt(start + length) + bodyBytes > bytes.byteLength)
    throw new Error(`a message with ${bodyBytes} bytes behind it`);
  if (header !== null) {
    const number = version === null ? 0 : metadata.view.getInt16(version, true);
    const of = {
      kind: kind === null ? 0 : metadata.view.getUint8(kind),
      version: number,
      bodyBytes: Number(bodyBytes),
    };
    checkHeader(metadata, header, of);
  }
  return start + length + Number(bodyBytes);
}

function checkHeader(
  metadata: Metadata,
  at: number,
  { kind, version, bodyBytes }: { kind: number; version: number; bodyBytes: number },
): void {
  if (kind === HEADERS.schema) checkSchema(metadata, at);
  if (kind === HEADERS.recordBatch) checkBatch(metadata, at, version, null);
  if (kind !== HEADERS.dictionaryBatch) return;
  const data = tableAt(metadata, at)(1);
  if (data !== null) checkBatch(metadata, data, version, bodyBytes);
}

/** Bytes behind the footer: its length, and the mark. */
const END_OF_FILE = 4 + 6;

function checkFile(bytes: DataView): void {
  const end = bytes.byteLength - END_OF_FILE;
  const length = bytes.getInt32(end, true);
  if (length <= 0 || length > end) throw new Error(`a footer of ${length} bytes`);
  const metadata = { view: new DataView(bytes.buffer, bytes.byteOffset + end - length, length), fields: 0 };
  const footer = tableAt(metadata, 0);
  const schema = footer(1);
  if (schema !== null) checkSchema(metadata, schema);
  for (const list of [footer(2), footer(3)]) {
    for (const block of vectorAt(metadata, list, 24)) {
      const at = metadata.view.getBigInt64(block, true);
      if (at < 0n || at >= BigInt(end)) throw new Error(`a block at byte ${at}`);
      checkMessage(bytes, Number(at));
    }
  }
  vectorAt(metadata, footer(4), 4);
}

/**
 * @param form a file with a footer, or a stream of messages.
 * @throws Error that says what of it cannot be; `RangeError` for what lies beyond its end.
 */
export function checkMetadata({ buffer, byteOffset, byteLength }: Uint8Array, form: 'file' | 'stream'): void {
  const bytes = new DataView(buffer, byteOffset, byteLength);
  if (form === 'file') checkFile(bytes);
  else for (let at: number | null = 0; at !== null && at < byteLength; ) at = checkMessage(bytes, at);
}
