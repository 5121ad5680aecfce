/** Hands a file to the browser, which asks no server for it. */
export function saveFile(name: string, content: string | Blob | Uint8Array<ArrayBuffer>, type: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The download reads the content after this call.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
