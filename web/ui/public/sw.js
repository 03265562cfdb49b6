// Keeps the page, the runtime and the model, so that it opens without a network after the first visit; and
// isolates the page, so that the runtime may use several threads.
// `wiggly web` writes which version this is and which files the page needs at first.
const VERSION = "development";
const SHELL = ["./"];
const NAME = `wiggly ${self.registration.scope} ${VERSION}`;

self.addEventListener("install", (event) => {
  const kept = caches
    .open(NAME)
    .then((cache) => cache.addAll(SHELL.map((url) => new Request(url, { cache: "reload" }))));
  event.waitUntil(kept);
});

self.addEventListener("activate", (event) => {
  const ours = `wiggly ${self.registration.scope} `;
  const forget = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith(ours) && name !== NAME);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(forget());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const here = request.url.startsWith(self.registration.scope);
  if (request.method === "GET" && here) event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(NAME);
  const wanted = request.mode === "navigate" ? self.registration.scope : request;
  const kept = await cache.match(wanted, { ignoreSearch: true });
  if (kept) return isolated(kept);
  const fetched = await fetch(request);
  if (fetched.ok && fetched.status === 200) await cache.put(request, fetched.clone()).catch(() => undefined);
  return isolated(fetched);
}

function isolated(response) {
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
