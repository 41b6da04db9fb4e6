// The WebGPU engine's kernels on seeded cases: search.html?seeds=N
// Leaves the number of cases in data-cases of <body>, what was wrong as its text.
// With &refuse=TEXT shaders that hold TEXT are no WGSL for this browser.
const options = new URLSearchParams(location.search);
const seeds = Number(options.get("seeds"));
const engine = new URL("worker.js?engine=gpu", location);
const worker = new Worker(options.has("refuse") ? refusing(options.get("refuse")) : engine, { type: "module" });
const body = document.body;

function refusing(text) {
  const line = `const make = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (shader) {
      const refused = shader.code.includes(${JSON.stringify(text)});
      return make.call(this, refused ? { ...shader, code: "no WGSL" } : shader);
    };
    await import(${JSON.stringify(engine)});`;
  return URL.createObjectURL(new Blob([line], { type: "text/javascript" }));
}

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
