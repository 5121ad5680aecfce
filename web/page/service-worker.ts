/** Keeps the page's files, so that it works without a network once it was loaded. */

/** Names of the files and a hash over them; scripts/web.mjs puts them here. */
declare const FILES: string[];
declare const HASH: string;

interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  request: Request;
  respondWith(response: Promise<Response>): void;
}
interface WorkerScope {
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
  addEventListener(type: 'install' | 'activate', listen: (event: ExtendableEvent) => void): void;
  addEventListener(type: 'fetch', listen: (event: FetchEvent) => void): void;
}
const scope = self as unknown as WorkerScope;
const NAME = `deep-rfm-${HASH}`;

scope.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(NAME)
      .then((cache) => cache.addAll(['./', ...FILES]))
      .then(() => scope.skipWaiting()),
  );
});

scope.addEventListener('activate', (event) => {
  const others = caches
    .keys()
    .then((names) => Promise.all(names.filter((name) => name !== NAME).map((name) => caches.delete(name))));
  event.waitUntil(others.then(() => scope.clients.claim()));
});

scope.addEventListener('fetch', (event) => {
  if (event.request.method !== 'GET') return;
  // The network first, so that a new version shows at once.
  event.respondWith(
    fetch(event.request).catch(async (error) => {
      const kept = await caches.match(event.request, { ignoreSearch: true });
      if (!kept) throw error;
      return kept;
    }),
  );
});
