"use strict";
// The engine in the browser: `models()`; `answer(blob, model, coverage)`, which gives a prediction in
// the form of `Prediction.to_dict`; and `isReady()`, whether it can answer without loading anything first.

function localEngine(settings) {
  const waiting = new Map();
  let worker = null, opening = null, ready = false, number = 0;

  function stop(error) {
    if (worker) worker.terminate();
    worker = opening = null;
    ready = false;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  }

  function ask(task, given) {
    number += 1;
    worker.postMessage({ id: number, task, given });
    return new Promise((resolve, reject) => waiting.set(number, { task, resolve, reject }));
  }

  function receive({ data: { id, value, trouble } }) {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (!asked) return;
    if (!trouble) return asked.resolve(value);
    const known = explained(trouble, asked.task === "open" ? "Close other tabs." : TRY_SMALLER);
    asked.reject(known);
    // What ran out of memory does not recover: the next question starts afresh.
    if (known.fatal) stop(known);
  }

  async function open() {
    const card = await readCard(), script = await loadFile(card.worker, document.baseURI);
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    worker = new Worker(address);
    worker.onmessage = receive;
    worker.onerror = async (event) => {
      event.preventDefault();
      const text = event.message || "The thread that runs the model stopped. Reload the page.";
      stop(await policyTrouble() || explained({ name: "Error", text }));
    };
    await ask("open", { card, base: document.baseURI });
    ready = true;
  }

  let card = null;
  async function readCard() {
    if (card) return card;
    const text = new TextDecoder().decode(await loadFile({ url: settings.model }, document.baseURI));
    try {
      card = JSON.parse(text);
    } catch {
      throw new Error(`${settings.model} is not the file that was exported. Upload the whole folder again.`);
    }
    return card;
  }

  return {
    isReady: () => ready,
    async models() {
      const { name, header, bytes } = await readCard();
      const coverage = header.task === "classification" && header.calibration.lac.length > 0;
      return [{ name, task: header.task, classes: header.names.length, coverage, bytes }];
    },
    async answer(blob, model, coverage) {
      opening = opening || open();
      try {
        await opening;
      } catch (error) {
        stop(error);
        throw error;
      }
      return ask("answer", { blob, coverage });
    },
  };
}
