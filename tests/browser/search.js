// The WebGPU engine's kernels on seeded cases: search.html?seeds=N
// Leaves the number of cases in data-cases of <body>, what was wrong as its text.
const seeds = Number(new URLSearchParams(location.search).get("seeds"));
const worker = new Worker("worker.js?engine=gpu", { type: "module" });
const body = document.body;

function end(state, text) {
  body.textContent = text;
  body.dataset.state = state;
}

worker.onerror = (event) => end("failed", event.message || "the engine did not start");
worker.onmessage = ({ data }) => {
  const told = JSON.parse(data[0]);
  if (told === "ready") {
    worker.postMessage([JSON.stringify({ examine: { seeds } })]);
  } else if (told.examined) {
    body.dataset.cases = told.examined.cases;
    end("done", told.examined.disagreements.join("\n"));
  } else if (told.unusable) {
    end("failed", told.unusable.message);
  }
};
