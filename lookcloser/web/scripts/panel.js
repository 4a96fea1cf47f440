"use strict";
// One answer as people see it: the image under its evidence, the labels, the closer looks. All
// names come as text, never as markup.

const ZOOM = 220; // longest side of a closer look
const DRAWN = 320; // longest side of a saved image at least, as in Python

// A prediction as the viewer draws it.
function itemOf(prediction) {
  const [width, height] = prediction.size;
  const regions = prediction.regions.map(({ kind, label, score, step, box, heatmap }) => ({
    kind, label, score, step,
    box: box && box.map((value, side) => value / prediction.size[side % 2]),
    grid: heatmap && { w: heatmap[0].length, h: heatmap.length, values: Float32Array.from(heatmap.flat()) },
    nothing: heatmap && emptiness(heatmap.flat()),
  }));
  return { ratio: width / height, boxes: [], regions };
}

// Why a heatmap points nowhere, or null.
function emptiness(values) {
  const low = Math.min(...values), high = Math.max(...values);
  if (high === 0) return "no evidence";
  return low > 0.9 * high ? "everywhere alike" : null;
}

// A name as it is shown: signs that turn the direction of the text around it are not.
function printable(name) {
  return name.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}

function percent(score) {
  return `${(100 * score).toFixed(1)} %`;
}

// The answer in a few words.
function inWords({ task, labels, caption, refusal }) {
  if (task === "captioning") return caption || "no words";
  if (task === "multilabel") return labels.map(({ name }) => name).join(", ") || "no tags";
  return refusal ? `perhaps none: ${labels[0].name}` : labels[0].name;
}

// The panel's element, and `show(shown)`, `draw(view)` and `clear()`. What is shown is {image,
// item, prediction, number, maps, name}, or {image, ratio, busy} or {trouble}.
function makePanel(title) {
  const element = document.getElementById("panel-template").content.firstElementChild.cloneNode(true);
  const at = (name) => element.querySelector(name), canvas = at("canvas.evidence");
  let shown = null, view = null, walking = null;
  at(".model").textContent = title;
  at(".model").hidden = !title;

  function choose(number) {
    shown.number = number;
    draw(view);
  }

  function show(next) {
    stopWalking();
    shown = next;
    const { image, item, prediction, busy, trouble, note } = next;
    at(".frame").hidden = !image;
    at(".busy").hidden = !busy;
    at(".busy").textContent = busy || "";
    at(".note").hidden = !(note && prediction);
    at(".note").textContent = note || "";
    at(".trouble").hidden = !trouble;
    at(".trouble").textContent = trouble || "";
    at(".answers").hidden = !prediction;
    at(".pic").style.setProperty("--ratio", item ? item.ratio : next.ratio || 1);
    canvas.setAttribute("aria-label", prediction ? `${next.name}: ${inWords(prediction)}` : next.name || "");
    if (prediction) fillAnswers(at, prediction, item);
    fillZooms(at(".zooms"), next);
    if (view) draw(view);
  }

  function draw(next) {
    view = next;
    if (!shown || !shown.image || !canvas.clientWidth) return;
    const item = shown.item || { ratio: 1, boxes: [], regions: [] };
    drawEvidence(canvas, shown.image, item, shown.number || 0, shown.maps || new Map(), view);
    showChoice(element, item, shown.number || 0);
    const steps = stepsOf(item), place = steps.indexOf(shown.number);
    at(".walk").hidden = steps.length < 2;
    at(".walk output").textContent = `${place + 1} of ${steps.length}`;
  }

  function walk(by) {
    const steps = stepsOf(shown.item);
    choose(steps[(steps.indexOf(shown.number) + by + steps.length) % steps.length]);
  }

  function stopWalking() {
    clearInterval(walking);
    walking = null;
    at(".play").setAttribute("aria-pressed", "false");
  }

  at(".before").addEventListener("click", () => { stopWalking(); walk(-1); });
  at(".after").addEventListener("click", () => { stopWalking(); walk(1); });
  at(".play").addEventListener("click", () => {
    if (walking) return stopWalking();
    at(".play").setAttribute("aria-pressed", "true");
    walking = setInterval(walk, 1200, 1);
  });
  element.addEventListener("click", ({ target }) => {
    const button = target.closest("button.region");
    if (!button) return;
    stopWalking();
    choose(Number(button.dataset.region));
  });
  element.addEventListener("keydown", (event) => {
    if (event.target.matches("button.region")) moveFocus(event, [...element.querySelectorAll("button.region")]);
  });
  at(".save-image").addEventListener("click", async () => {
    download(await blobOf(drawnImage(shown, view), "image/png"), `${baseOf(shown.name)}-evidence.png`);
  });
  at(".save-json").addEventListener("click", () => {
    download(asJson(shown.prediction), `${baseOf(shown.name)}.json`);
  });
  return { element, show, draw };
}

// Arrow keys go from button to button.
function moveFocus(event, buttons) {
  const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const next = buttons[(buttons.indexOf(event.target) + by + buttons.length) % buttons.length];
  next.focus();
  next.click();
}

function stepsOf(item) {
  return item.regions.flatMap(({ kind }, number) => (kind === "step" || kind === "word" ? [number] : []));
}

function fillAnswers(at, prediction, item) {
  fillDoubts(at(".refusal"), prediction);
  fillSets(at(".sets"), prediction);
  at(".regions").replaceChildren(...item.regions.flatMap((region, number) => (
    lookedInto(region) || region.kind === "part" ? [] : [regionButton(region, number)]
  )), ...labelsWithout(prediction, item));
  at(".parts").replaceChildren(...item.regions.flatMap((region, number) => (
    region.kind === "part" ? [regionButton({ ...region, label: `attention ${region.step + 1}`, score: null }, number)] : []
  )));
  at(".parts-box").hidden = !at(".parts").children.length;
  const empty = { captioning: "The model finds no words for it.", multilabel: "The model finds no tags for it." };
  at(".none").hidden = at(".regions").children.length > 0;
  at(".none").textContent = empty[prediction.task] || "";
}

// What the answer does not know.
function fillDoubts(box, { refusal, group }) {
  const said = [
    refusal ? `This may be none of the classes: it is ${refusal}.` : "",
    group ? `It is surer of the group ${group.name}: ${percent(group.score)}.` : "",
  ].filter(Boolean);
  box.hidden = !said.length;
  box.textContent = said.join(" ");
}

// The classes that may be true, where they were asked for.
function fillSets(box, { candidates, coverage }) {
  const share = `${Math.round(100 * coverage)} % coverage`, names = (candidates || []).map(({ name }) => name);
  box.hidden = !candidates;
  box.textContent = names.length ? `With ${share}, the class is one of: ${names.join(", ")}.` : `No class is likely enough for ${share}.`;
}

// Labels that no region speaks for.
function labelsWithout(prediction, item) {
  const told = new Set(item.regions.map(({ label }) => label));
  return prediction.labels.filter(({ name }) => !told.has(name)).map(({ name, score }) => {
    const row = document.createElement("p");
    row.className = "region plain bar";
    fillRegion(row, name, score);
    return row;
  });
}

function regionButton({ kind, label, score, step }, number) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `region region-${kind}`;
  button.dataset.region = number;
  button.title = score === null ? label : `${label}: ${percent(score)}`;
  if (kind === "word") button.textContent = label;
  else {
    button.classList.toggle("bar", score !== null);
    fillRegion(button, kind === "step" ? `${step + 1}. ${label}` : label, score);
  }
  return button;
}

function fillRegion(element, label, score) {
  const [name, value] = ["name", "score"].map((part) => {
    const span = document.createElement("span");
    span.className = part;
    element.append(span);
    return span;
  });
  name.textContent = label;
  value.textContent = score === null ? "" : percent(score);
  element.style.setProperty("--share", score || 0);
}

// Each finer scale or place as an image of what was looked at.
function fillZooms(box, { image, item }) {
  const looks = (item ? item.regions : []).flatMap((region, number) => (
    lookedInto(region) ? [{ ...region, number }] : []
  ));
  box.hidden = !looks.length;
  box.querySelector(".strip").replaceChildren(...looks.map(({ kind, box: place, label, step, score, number }) => {
    const button = document.createElement("button"), words = document.createElement("span");
    button.type = "button";
    button.className = "region zoom";
    button.dataset.region = number;
    words.textContent = `${kind === "place" ? kind : "look"} ${step + 1} · ${label} ${percent(score)}`;
    button.append(cutOut(image, place), words);
    return button;
  }));
}

function sizeOf(image) {
  return [image.naturalWidth || image.width, image.naturalHeight || image.height];
}

function cutOut(image, [x0, y0, x1, y1]) {
  const [width, height] = sizeOf(image), canvas = document.createElement("canvas");
  const [w, h] = [Math.max((x1 - x0) * width, 1), Math.max((y1 - y0) * height, 1)];
  const factor = ZOOM / Math.max(w, h);
  canvas.width = Math.max(1, Math.round(w * factor));
  canvas.height = Math.max(1, Math.round(h * factor));
  canvas.getContext("2d").drawImage(image, x0 * width, y0 * height, w, h, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The image with its evidence, at the size that is kept, over a line that says of what it is.
function drawnImage({ image, item, number, maps, prediction }, view) {
  const [width, height] = sizeOf(image), canvas = document.createElement("canvas");
  const factor = Math.max(1, DRAWN / Math.max(width, height)); // of a few pixels nothing would be seen
  canvas.width = Math.max(1, Math.round(width * factor));
  canvas.height = Math.max(1, Math.round(height * factor));
  const longest = Math.max(canvas.width, canvas.height);
  paint(canvas.getContext("2d"), image, item, number, maps, view, longest / 640);
  return withTitle(canvas, titleOf(prediction, item.regions[number]), longest / 32);
}

function titleOf(prediction, region) {
  const { label, score, nothing } = region || { label: inWords({ ...prediction, refusal: null }), score: null };
  const doubt = prediction.refusal ? "perhaps none: " : "";
  return `${doubt}${label}${score === null ? "" : ` ${percent(score)}`}${nothing ? `, ${nothing}` : ""}`;
}

function withTitle(image, text, size) {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  canvas.width = Math.max(image.width, DRAWN);
  canvas.height = image.height + Math.round(1.6 * size);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, Math.floor((canvas.width - image.width) / 2), 0);
  context.fillStyle = "#000";
  context.font = `${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.fillText(printable(text), size / 2, image.height + 0.8 * size, canvas.width - size);
  return canvas;
}

function baseOf(name) {
  const plain = name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{M}\p{N}._-]+/gu, "-");
  return plain.replace(/^[-.]+|-+$/g, "") || "image";
}
