"use strict";
// The cards: which are shown, and what is drawn over each image.

const DATA = JSON.parse(document.getElementById("page-data").textContent);
const RASTER = 128; // longest side of the upsampled map
const TRUE_BOX = "#ffffff", BOX = "#35d0ff", CASING = "rgba(0, 0, 0, 0.6)";

function setUpGallery() {
  const form = document.querySelector(".controls");
  if (!form) return;
  const cards = new Map([...document.querySelectorAll(".card")].map((element) => [
    element.dataset.card,
    { element, data: DATA.cards[element.dataset.card], region: 0, maps: new Map() },
  ]));
  const holder = document.querySelector(".cards"), more = document.querySelector(".show-all");
  let expanded = false, waiting = false;

  function shown() {
    const members = DATA.galleries[field(form, "gallery")];
    return expanded ? members : members.slice(0, Number(holder.dataset.first));
  }

  function choose() {
    const chosen = shown(), all = DATA.galleries[field(form, "gallery")];
    for (const card of cards.values()) card.element.hidden = true;
    for (const index of chosen) {
      const { element } = cards.get(String(index));
      element.hidden = false;
      holder.append(element);
    }
    more.hidden = chosen.length === all.length;
    more.textContent = `Show all ${all.length}`;
    for (const note of document.querySelectorAll(".gallery-note")) {
      note.hidden = note.dataset.note !== field(form, "gallery");
    }
    draw();
  }

  function setRegions(of) {
    for (const input of form.querySelectorAll("[name=of]")) input.checked = input.value === of;
    for (const card of cards.values()) card.region = regionOf(card, of);
  }

  function draw() {
    const view = readControls(form);
    for (const index of shown()) drawCard(cards.get(String(index)), view);
  }

  function drawSoon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    if (target.name === "gallery") {
      expanded = false;
      setRegions(target.value === "misplaced" ? "true" : "predicted"); // that IoU is of the true class
      choose();
    } else {
      if (target.name === "of") setRegions(target.value);
      drawSoon();
    }
  });
  more.addEventListener("click", () => { expanded = true; choose(); });
  holder.addEventListener("click", ({ target }) => {
    const button = target.closest("button.region");
    if (!button) return;
    cards.get(button.closest(".card").dataset.card).region = Number(button.dataset.region);
    draw();
  });
  window.addEventListener("resize", drawSoon);
  window.addEventListener("beforeprint", draw);
  choose();
}

function regionOf(card, of) {
  return of === "true" && card.data.true !== null ? card.data.true : 0;
}

function field(form, name) {
  const input = form.elements[name];
  return input && input.value;
}

function readControls(form) {
  const ticked = (name) => Boolean(form.elements[name] && form.elements[name].checked);
  const opacity = Number(field(form, "opacity") || 0), threshold = Number(field(form, "threshold") || 0);
  label(form.elements.opacity, `${opacity} %`);
  label(form.elements.threshold, threshold ? `${threshold} % of max` : null);
  return {
    opacity: opacity / 100,
    threshold: threshold / 100,
    colors: DATA.colormaps[field(form, "colormap")],
    trueBoxes: ticked("true_boxes"),
    boxes: ticked("boxes"),
  };
}

function label(input, value) {
  if (!input) return;
  const text = value || input.dataset.zero;
  input.parentElement.querySelector("output").textContent = text;
  input.setAttribute("aria-valuetext", text);
}

function drawCard(card, view) {
  const { data, element } = card, canvas = element.querySelector("canvas");
  const region = data.regions[card.region];
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientHeight * scale);
  const context = canvas.getContext("2d");

  const map = region && region.grid ? rasterOf(card) : null;
  const mask = map && view.threshold ? keep(map, view.threshold) : null;
  const box = boxOf(region, map, mask, view);
  const picture = element.querySelector("img");
  // Printed canvases are opaque, so the image is painted below its evidence too.
  if (picture && picture.complete) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (map) drawMap(context, map, mask, view);
  if (view.trueBoxes) for (const truth of data.boxes) drawBox(context, truth, TRUE_BOX, false, scale);
  if (view.boxes) {
    for (const other of data.regions) {
      if (other !== region && other.kind === "scale" && other.box) drawBox(context, other.box, BOX, true, scale * 0.6);
    }
    if (box) drawBox(context, box, BOX, true, scale);
  }
  describe(card, region, box);
}

function rasterOf(card) {
  if (!card.maps.has(card.region)) {
    const { ratio, regions } = card.data;
    const w = Math.max(1, Math.round(RASTER * Math.min(1, ratio)));
    const h = Math.max(1, Math.round(RASTER * Math.min(1, 1 / ratio)));
    card.maps.set(card.region, upsample(decodeGrid(regions[card.region].grid), w, h));
  }
  return card.maps.get(card.region);
}

function boxOf(region, map, mask, view) {
  if (!region) return null;
  if (!map || !view.threshold) return region.box;
  return mask && largestBox(mask, map.w, map.h);
}

function drawMap(context, map, mask, view) {
  const layer = document.createElement("canvas");
  layer.width = map.w;
  layer.height = map.h;
  const pixels = new ImageData(map.w, map.h);
  map.values.forEach((value, index) => {
    const edge = mask && isEdge(mask, index, map.w);
    pixels.data.set(edge ? [255, 255, 255] : colorAt(view.colors, value), 4 * index);
    pixels.data[4 * index + 3] = 255 * (edge ? 0.85 : view.opacity * value);
  });
  layer.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(layer, 0, 0, context.canvas.width, context.canvas.height);
}

// The outermost places that the threshold keeps.
function isEdge(mask, index, w) {
  if (!mask[index]) return false;
  const x = index % w;
  return (x > 0 && !mask[index - 1]) || (x < w - 1 && !mask[index + 1])
    || mask[index - w] === 0 || mask[index + w] === 0;
}

function drawBox(context, box, color, dashed, scale) {
  const { width, height } = context.canvas, inset = 1.5 * scale;
  const [x0, y0, x1, y1] = [box[0] * width, box[1] * height, box[2] * width, box[3] * height];
  const rectangle = [x0 + inset, y0 + inset, Math.max(x1 - x0 - 2 * inset, 1), Math.max(y1 - y0 - 2 * inset, 1)];
  for (const [stroke, line] of [[CASING, 4], [color, 2]]) {
    context.strokeStyle = stroke;
    context.lineWidth = line * scale;
    context.setLineDash(dashed ? [7 * scale, 4 * scale] : []);
    context.strokeRect(...rectangle);
  }
}

function describe(card, region, box) {
  const { data, element } = card;
  for (const button of element.querySelectorAll("button.region")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.region) === card.region));
  }
  const nothing = element.querySelector(".nothing");
  nothing.hidden = !(region && region.nothing);
  nothing.textContent = region && region.nothing;
  const best = box ? Math.max(-1, ...data.boxes.map((truth) => overlap(box, truth))) : -1;
  const badge = element.querySelector(".overlap");
  badge.hidden = best < 0;
  badge.textContent = `IoU ${best.toFixed(2)}`;
}
