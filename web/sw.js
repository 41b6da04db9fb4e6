// Keeps the page for visits without a network.
//
// A build is kept whole or not at all: its files are listed with their SHA-256 (`BUILD`, which
// `cargo xtask web` puts in front of this text), every file is checked before any of them counts,
// and a build's files are answered from its own cache alone. A new build waits until the reader
// lets it take over, or until no page of the old one is open; the old one's files go then.
/* global BUILD */

const ROOT = new URL("./", self.location);
// Other copies of the page, in other folders of this origin, have caches of their own.
const PREFIX = `adem-page-${ROOT.pathname}-`;
const CACHE = PREFIX + BUILD.version;
const INDEX = new URL("index.html", ROOT).href;
const DIGESTS = new Map(BUILD.files.map(([path, digest]) => [new URL(path, ROOT).href, digest]));
// The WebGPU engine is fetched where it is chosen, and kept from then on.
const isLater = (url) => new URL(url).pathname.includes("/engine-gpu");

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const address = key(event.request);
  if (address) event.respondWith(answer(event.request, address));
});
self.addEventListener("message", (event) => {
  if (event.data === "take over") self.skipWaiting();
});

// The address under which a file of this build is kept; nothing for everything else, which is
// models: those have a store of their own.
function key(request) {
  if (request.method !== "GET") return undefined;
  const url = new URL(request.url);
  if (url.href.split(/[?#]/)[0] === ROOT.href) url.pathname += "index.html";
  const bare = url.origin + url.pathname;
  if (!DIGESTS.has(bare)) return undefined;
  return { bare, allowed: url.searchParams.get("allow") };
}

async function install() {
  const cache = await caches.open(CACHE);
  const wanted = [...DIGESTS.keys()].filter((url) => !isLater(url));
  try {
    await Promise.all(wanted.map((url) => keep(cache, url)));
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function activate() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function keep(cache, url) {
  await cache.put(url, await fetched(url));
}

// The file of this build, from the server.
async function fetched(url) {
  const response = await fetch(url, { cache: "no-cache", credentials: "same-origin" });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const bytes = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  // Of another build: the server has moved on while we were reading.
  if (found !== DIGESTS.get(url)) throw new Error(`${url} is not of this build`);
  const headers = { "Content-Type": response.headers.get("Content-Type") ?? "" };
  return new Response(bytes, { headers });
}

async function answer(request, { bare, allowed }) {
  const cache = await caches.open(CACHE);
  let response = await cache.match(bare);
  if (!response && !(await cache.match(INDEX))) {
    // The browser has thrown this build away: the server's page, whichever it is, is all there is.
    response = await fetch(request);
  }
  try {
    if (!response) {
      response = await fetched(bare);
      // Without room for it, it is fetched again next time.
      await cache.put(bare, response.clone()).catch(() => {});
    }
  } catch (error) {
    return new Response(String(error), { status: 503 });
  }
  return bare.endsWith("/worker.js") ? confined(response, allowed) : response;
}

// The engine's worker may talk to its own origin, and to the one whose address the reader has
// typed in.
function confined(response, allowed) {
  const origin = allowed && URL.canParse(allowed) ? ` ${new URL(allowed).origin}` : "";
  const policy =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'" + origin;
  const headers = new Headers(response.headers);
  headers.set("Content-Security-Policy", policy);
  return new Response(response.body, { headers });
}
