"use strict";
// The page: images come in, answers are shown, the visit is remembered until it ends.

const SETTINGS = JSON.parse(document.getElementById("settings").textContent);
const MOST_KEPT = 200; // images of a visit
const AT_WORK = "lookcloser at work"; // what a tab that ended had begun

function setUpPage() {
  const at = (name) => document.querySelector(name), form = at(".controls");
  const engine = SETTINGS.engine === "server" ? remoteEngine(askKey) : localEngine(SETTINGS);
  const camera = makeCamera(at("video"));
  let models = [], visit = [], current = null, panels = [], queue = Promise.resolve(), live = null, count = 0;

  const chosenModels = () => [...new Set([at("[name=model]").value, at("[name=beside]").value].filter(Boolean))];
  const view = () => readKnobs(form, SETTINGS.colormaps);
  // The share that sets of classes are to cover, where the model can promise it; else null.
  const asked = (model) => (models.some((one) => one.name === model && one.coverage) && Number(at("[name=coverage]").value)) || null;

  function say(text) {
    at("#status").textContent = text;
  }

  function complain(text) {
    at("#trouble").textContent = text;
    at("#trouble").hidden = !text;
  }

  // Panels: one for each chosen model.
  function buildPanels() {
    const chosen = chosenModels();
    panels = chosen.map((model) => ({ model, panel: makePanel(chosen.length > 1 ? model : "") }));
    at("#panels").replaceChildren(...panels.map(({ panel }) => panel.element));
    at("#panels").classList.toggle("several", panels.length > 1);
    render();
  }

  function render() {
    at("#stage").hidden = !current;
    if (!current) return;
    for (const { model, panel } of panels) {
      panel.show({ ...current, busy: engine.isReady() ? "looking …" : "loading the model …", ...current.answers.get(model) });
      panel.draw(view());
    }
    for (const past of document.querySelectorAll("#history .past")) {
      past.setAttribute("aria-current", String(Number(past.dataset.id) === current.id));
    }
  }

  function redraw() {
    const now = view();
    for (const { panel } of panels) panel.draw(now);
  }

  // What an entry has of a model: {item, prediction, number, maps} or {trouble}.
  async function answer(entry, model) {
    if (entry.answers.has(model)) return;
    const coverage = asked(model);
    try {
      const prediction = await engine.answer(entry.blob, model, coverage);
      if (coverage !== asked(model)) return answer(entry, model); // something else was chosen meanwhile
      prediction.path = entry.path;
      entry.answers.set(model, { busy: "", item: itemOf(prediction), prediction, number: 0, maps: new Map() });
      if (entry.id) say(`${entry.name}: ${inWords(prediction)}`); // not of each frame of the camera
    } catch (error) {
      entry.answers.set(model, { busy: "", trouble: `${entry.name}: ${error.message}` });
    }
  }

  async function show(entry) {
    try {
      entry.image = await showable(entry.blob);
    } catch (error) {
      if (!engine.readsMore) throw error;
      entry.note = `${error.message} What the server sees in it is drawn over gray.`;
      return;
    }
    entry.ratio = entry.image.naturalWidth / entry.image.naturalHeight;
    if (entry === current) render();
  }

  async function work(entry) {
    await begun;
    if (!models.length) await loadModels();
    sessionStorage.setItem(AT_WORK, entry.name);
    try {
      if (!entry.image) await show(entry);
      for (const model of chosenModels()) await answer(entry, model);
      const [answered] = [...entry.answers.values()].filter(({ prediction }) => prediction);
      if (!entry.image && answered) entry.image = await blankImage(answered.prediction.size);
    } catch (error) {
      for (const model of chosenModels()) {
        entry.answers.set(model, { busy: "", trouble: `${entry.name}: ${error.message}` });
      }
    }
    sessionStorage.removeItem(AT_WORK);
    if (entry === current) render();
    fillPast(entry);
  }

  function enqueue(entry) {
    queue = queue.then(() => (visit.includes(entry) ? work(entry) : null));
  }

  function add(blobs) {
    const taken = blobs.slice(0, MOST_KEPT);
    complain(blobs.length === taken.length ? ""
      : `The first ${MOST_KEPT} of ${blobs.length} images are taken. Save their answers, then give the others.`);
    const entries = taken.map((blob) => {
      count += 1;
      const path = blob.name || `image ${count}`;
      return { id: count, path, name: printable(path), blob, image: null, answers: new Map() };
    });
    if (!entries.length) return;
    stopLive();
    visit.push(...entries);
    for (const old of visit.splice(0, Math.max(visit.length - MOST_KEPT, 0))) forget(old);
    at("#history ol").prepend(...entries.map(pastOf)); // the newest first, but each group in its order
    for (const entry of entries) enqueue(entry);
    at("#history").hidden = false;
    document.body.classList.add("begun");
    select(entries[0]);
  }

  function select(entry) {
    stopLive();
    current = entry;
    if (chosenModels().some((model) => !entry.answers.has(model))) enqueue(entry);
    render();
  }

  // All images of the visit, the one that is shown first.
  function askAgain() {
    for (const entry of visit) {
      entry.answers.clear();
      pastButton(entry).querySelector(".past-answer").textContent = "waiting";
    }
    if (current && current !== live) select(current);
    for (const entry of visit) if (entry !== current) enqueue(entry);
  }

  // The history.
  function pastOf(entry) {
    const item = document.getElementById("past-template").content.firstElementChild.cloneNode(true);
    const button = item.querySelector("button");
    button.dataset.id = entry.id;
    item.querySelector(".past-name").textContent = entry.name;
    item.querySelector(".past-answer").textContent = "waiting";
    button.addEventListener("click", () => select(entry));
    return item;
  }

  function pastButton(entry) {
    return document.querySelector(`#history .past[data-id="${entry.id}"]`);
  }

  // What the chosen model says of it; another one may not have been asked yet.
  function fillPast(entry) {
    const button = pastButton(entry), [model] = chosenModels(), first = entry.answers.get(model);
    if (!button) return;
    const { prediction } = first || {};
    button.querySelector(".past-answer").textContent = prediction ? inWords(prediction) : first || !model ? "no answer" : "not asked yet";
    button.classList.toggle("failed", Boolean(first ? first.trouble : !model));
    if (entry.image && !button.querySelector("img")) {
      const small = entry.image.cloneNode();
      small.alt = "";
      button.querySelector(".thumb").replaceChildren(small);
    }
  }

  function forget(entry) {
    if (entry.image) freeImage(entry.image);
    const button = pastButton(entry);
    if (button) button.closest("li").remove();
  }

  function clear() {
    for (const entry of visit) forget(entry);
    visit = [];
    current = null;
    at("#history").hidden = true;
    document.body.classList.remove("begun");
    complain("");
    render();
  }

  function saveVisit() {
    const answered = visit.flatMap(({ path, answers }) => (
      [...answers].flatMap(([model, { prediction }]) => (prediction ? [{ model, image: path, prediction }] : []))
    ));
    download(asJson(answered), "answers.json");
  }

  // The camera.
  async function startLive() {
    if (live) return;
    complain("");
    const mine = { id: 0, path: "camera", name: "camera", image: null, answers: new Map() };
    live = mine;
    at("#camera-bar").hidden = false;
    try {
      await begun;
      if (live !== mine) return; // stopped in the meantime
      await camera.start(async (canvas, blob) => {
        const frame = { ...mine, blob, answers: new Map() };
        for (const model of chosenModels()) await answer(frame, model);
        if (live !== mine) return;
        Object.assign(mine, { blob, image: canvas, ratio: canvas.width / canvas.height, answers: frame.answers });
        current = mine;
        render();
        const failed = [...mine.answers.values()].find(({ trouble }) => trouble);
        if (!failed) return;
        stopLive();
        complain(failed.trouble);
      });
    } catch (error) {
      if (live !== mine) return;
      complain(error.message);
      stopLive();
    }
  }

  function stopLive() {
    if (!live) return;
    if (current === live) current = null;
    live = null;
    camera.stop();
    at("#camera-bar").hidden = true;
    render();
  }

  function takeLive() {
    if (!live || !live.blob) return;
    count += 1;
    add([new File([live.blob], `camera ${count}.jpg`, { type: "image/jpeg" })]);
  }

  // A key that the server asks for.
  function askKey(again) {
    const dialog = at("#key");
    dialog.querySelector(".again").hidden = !again;
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "give" ? dialog.querySelector("input").value : ""), { once: true });
    });
  }

  function listen() {
    listenForImages(add, complain);
    at("#camera").addEventListener("click", startLive);
    at("#camera-stop").addEventListener("click", stopLive);
    at("#camera-take").addEventListener("click", takeLive);
    at("#clear").addEventListener("click", clear);
    at("#save-visit").addEventListener("click", saveVisit);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", ({ target }) => {
      if (target.name === "model" || target.name === "beside") {
        buildPanels();
        visit.forEach(fillPast);
        if (current && current !== live) select(current);
      } else if (target.name === "coverage") askAgain();
      else requestAnimationFrame(redraw);
    });
    window.addEventListener("resize", () => requestAnimationFrame(redraw));
  }

  function describeModels() {
    const options = () => models.map(({ name }) => new Option(name, name));
    at("[name=model]").replaceChildren(...options());
    at("[name=beside]").replaceChildren(new Option("nothing", ""), ...options());
    at("#choice").hidden = models.length < 2;
    at("#sets").hidden = !models.some(({ coverage }) => coverage);
    const [{ name, task, classes, bytes }] = models, many = Array.isArray(classes) ? classes.length : classes;
    const size = bytes ? ` · ${(bytes / 1e6).toFixed(0)} MB to load` : "";
    at("#about").textContent = models.length > 1 ? `${models.length} models`
      : `${SETTINGS.engine === "server" ? `${name} · ` : ""}${task} · ${many} ${task === "captioning" ? "words" : "classes"}${size}`;
  }

  async function begin() {
    const ended = sessionStorage.getItem(AT_WORK);
    sessionStorage.removeItem(AT_WORK);
    if (ended) complain(`The tab ended while it worked on ${ended}, probably for want of memory. ${TRY_SMALLER}`);
    listen();
    await loadModels();
  }

  async function loadModels() {
    try {
      models = await engine.models();
      describeModels();
      buildPanels();
    } catch (error) {
      complain(error.message);
    }
  }

  const begun = begin();
}

document.getElementById("unstarted").remove();
if (location.protocol === "file:") {
  document.getElementById("trouble").textContent = "Browsers load models from a server only. In this folder, run: python -m http.server, then open http://localhost:8000";
  document.getElementById("trouble").hidden = false;
} else setUpPage();
