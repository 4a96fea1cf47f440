"use strict";
// One image under its evidence, for the report and for the page of a model. An item is
// {ratio, boxes, regions}: boxes are true ones; a region is {kind, box, grid, nothing}, its grid
// base64 of bytes as in the report, or {w, h, values}.

const RASTER = 128; // longest side of the upsampled map
const TRUE_BOX = "#ffffff", BOX = "#35d0ff", CASING = "rgba(0, 0, 0, 0.6)";

function field(form, name) {
  const input = form.elements[name];
  return input && input.value;
}

function readKnobs(form, colormaps) {
  const ticked = (name) => Boolean(form.elements[name] && form.elements[name].checked);
  const opacity = Number(field(form, "opacity") || 0), threshold = Number(field(form, "threshold") || 0);
  label(form.elements.opacity, `${opacity} %`);
  label(form.elements.threshold, threshold ? `${threshold} % of max` : null);
  return {
    opacity: opacity / 100,
    threshold: threshold / 100,
    colors: colormaps[field(form, "colormap")],
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

// Draws a region of an item over its image (an element, a canvas or null) and returns its box.
// What is upsampled once stays in `maps`, by the number of the region.
function drawEvidence(canvas, image, item, number, maps, view) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientHeight * scale);
  return paint(canvas.getContext("2d"), image, item, number, maps, view, scale);
}

function paint(context, image, item, number, maps, view, scale) {
  const { width, height } = context.canvas, region = item.regions[number];
  const map = region && region.grid ? rasterOf(item, number, maps) : null;
  const mask = map && view.threshold ? keep(map, view.threshold) : null;
  const box = boxOf(region, map, mask, view);
  // Printed canvases are opaque, so the image is painted below its evidence too.
  if (image) context.drawImage(image, 0, 0, width, height);
  if (map) drawMap(context, map, mask, view);
  if (view.trueBoxes) for (const truth of item.boxes) drawBox(context, truth, TRUE_BOX, false, scale);
  if (view.boxes) {
    for (const other of item.regions) {
      if (other !== region && lookedInto(other)) drawBox(context, other.box, BOX, true, scale * 0.6);
    }
    if (box) drawBox(context, box, BOX, true, scale);
  }
  return box;
}

// A box that the answer looked into: a finer scale, or a place.
function lookedInto({ kind, box }) {
  return (kind === "scale" || kind === "place") && box;
}

function rasterOf(item, number, maps) {
  if (!maps.has(number)) {
    const { grid } = item.regions[number];
    const w = Math.max(1, Math.round(RASTER * Math.min(1, item.ratio)));
    const h = Math.max(1, Math.round(RASTER * Math.min(1, 1 / item.ratio)));
    maps.set(number, upsample(grid.values ? grid : decodeGrid(grid), w, h));
  }
  return maps.get(number);
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

// Marks the chosen of the buttons of an element, and says where a map points nowhere.
function showChoice(element, item, number) {
  for (const button of element.querySelectorAll("button.region")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.region) === number));
  }
  const region = item.regions[number], nothing = element.querySelector(".nothing");
  nothing.hidden = !(region && region.nothing);
  nothing.textContent = region && region.nothing;
}
