// One of the page's engines on any package: ours.html?package=FOLDER&engine=cpu|gpu&picture=FILE
// Leaves tokens a second and milliseconds a picture in data-tokens and data-vision of <body>, and in
// data-first the milliseconds from navigation to the end of the first caption.
const asked = new URLSearchParams(location.search);
const worker = new Worker(`worker.js?engine=${asked.get("engine")}`, { type: "module" });
const body = document.body;
const TURNS = 3; // The first warms up.
const timings = [];

function fail(message) {
  body.textContent = message;
  body.dataset.state = "failed";
}

async function describe() {
  const picture = await (await fetch(asked.get("picture"))).arrayBuffer();
  const job = timings.length + 1;
  const describe = { job, task: "caption", fusion: null, trace: false };
  // A byte after its end makes it another file: no engine encodes the same one twice.
  const file = new Uint8Array(picture.byteLength + 1);
  file.set(new Uint8Array(picture));
  file[picture.byteLength] = job;
  worker.postMessage([JSON.stringify({ describe }), file.buffer], [file.buffer]);
}

function finish() {
  const warm = timings.slice(1);
  const best = (value) => Math.min(...warm.map(value));
  body.dataset.tokens = 1 / best((t) => t.decode_ms / 1000 / t.decode_steps);
  body.dataset.vision = best((t) => t.vision_ms);
  body.dataset.state = "done";
}

worker.onerror = (event) => fail(event.message || "the engine did not start");
worker.onmessage = ({ data }) => {
  const told = JSON.parse(data[0]);
  if (told === "ready") {
    const folder = new URL(asked.get("package"), location.href).href;
    worker.postMessage([JSON.stringify({ load: { origin: { address: folder } } })]);
  } else if (told.loaded) {
    describe();
  } else if (told.done) {
    timings.push(told.done.timings);
    body.dataset.first ??= performance.now();
    timings.length < TURNS ? describe() : finish();
  } else if (told.unusable || told.not_loaded || told.failed) {
    fail((told.unusable ?? told.not_loaded ?? told.failed).message);
  }
};
