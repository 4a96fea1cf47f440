"use strict";
// The network, in a thread of its own: image files in, predictions out. The page starts it from
// its own text, so that the page's content security policy holds here too.

const STRIP = 1 << 20; // pixels that are read at a time
const TOP = 5;
const SURE = 1e-15; // scores stay this far from 0 and 1, so that their logits are finite

let network = null;

const TASKS = { open: openNetwork, answer: answerImage };

self.onmessage = async ({ data: { id, task, given } }) => {
  try {
    self.postMessage({ id, value: await TASKS[task](given) });
  } catch (error) {
    const { message, name } = await policyTrouble() || error || {};
    self.postMessage({ id, trouble: { text: String(message || error), name: String(name) } });
  }
};

// card: what model.json says; base: the address of the page.
async function openNetwork({ card, base }) {
  const load = (file) => loadFile(file, base);
  const names = Object.keys(card.graphs);
  const [script, wasm, model, ...graphs] = await Promise.all(
    [card.runtime.script, card.runtime.wasm, card.model, ...names.map((name) => card.graphs[name])].map(load),
  );
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const ort = await import(address);
  ort.env.wasm.numThreads = 1; // more need headers that static hosts do not send
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  const open = (bytes) => ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: ["wasm"] });
  const parts = {};
  const image = await open(model);
  for (const [index, name] of names.entries()) parts[name] = await open(graphs[index]);
  network = { ort, card, image, parts };
}

async function answerImage({ blob, coverage }) {
  const { header } = network.card, { pixels, size } = await readInput(blob, header.preprocessing);
  const [height, width] = header.preprocessing.size;
  const image = new network.ort.Tensor("float32", pixels, [1, 3, height, width]);
  const outputs = await network.image.run({ [network.image.inputNames[0]]: image });
  const found = await findAnswer(outputs, network.card);
  return predictionOf(found, header, size, TOP, coverage);
}

// An image file as the network takes it, and its size.
async function readInput(blob, { size, interpolation }) {
  const bitmap = await openImage(blob), { width, height } = bitmap;
  const lines = new Uint8Array(height * size[1] * 3);
  try {
    squeeze(bitmap, makeTaps(width, size[1], interpolation), lines);
  } catch (error) {
    throw width > TALLEST ? tooLong([width, height]) : error;
  }
  bitmap.close();
  return {
    pixels: squeezeColumns(lines, size[1], makeTaps(height, size[0], interpolation)),
    size: [width, height],
  };
}

// The rows of a bitmap, each made narrower, into `lines`, a strip at a time.
function squeeze(bitmap, taps, lines) {
  const { width, height } = bitmap, rows = Math.min(Math.max(Math.floor(STRIP / width), 1), height);
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.fillStyle = "#fff"; // what is transparent is white
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    squeezeRows(context.getImageData(0, 0, width, count).data, width, count, taps, lines, top);
  }
}

// The outputs of the network as `predictionOf` takes them.
async function findAnswer(outputs, { parts }) {
  if (parts.search !== null) return decodeAnswer(outputs);
  const { logits, saliency_map: maps, boxes, part_maps: attentions, distances } = outputs;
  // As the network compares them: before the temperature, in its precision.
  const sure = Array.from(logits.data, (value) => Math.fround(sigmoid(value)));
  const tokens = parts.threshold === null
    ? ranking(logits.data).slice(0, TOP)
    : ranking(logits.data).filter((index) => sure[index] > Math.fround(parts.threshold));
  const all = maps && splitMaps(maps);
  return {
    logits: Array.from(logits.data),
    tokens,
    tokenScores: null,
    maps: all && tokens.map((index) => all[index]),
    boxes: boxes && splitRows(boxes.data, boxes.dims[2]),
    parts: attentions && splitMaps(attentions),
    distance: distances ? distances.data[0] : null,
  };
}

function splitMaps({ data, dims }) {
  const [, count, h, w] = dims;
  return Array.from({ length: count }, (_, index) => (
    { w, h, values: Float32Array.from(data.slice(index * h * w, (index + 1) * h * w)) }
  ));
}

function splitRows(data, width) {
  return Array.from({ length: data.length / width }, (_, row) => data.slice(row * width, (row + 1) * width));
}

// A sequence: the graphs "start" and "step" under a search, and "evidence" for what it finds.
async function decodeAnswer({ logits, features }) {
  const { search, memory, longest } = network.card.parts;
  const given = await runPart("start", [features]);
  const fixed = given.slice(0, memory);
  const step = async (state, tokens) => {
    const [logProbs, ...after] = await runPart("step", [wholeNumbers(tokens, [tokens.length]), ...fixed, ...state]);
    return { logProbs: splitRows(logProbs.data, logProbs.dims[1]), state: after };
  };
  const found = await decode(search, given.slice(memory), step, pickRows, network.card.draws);
  const width = Math.max(longest, found.tokens.length);
  const padded = [...found.tokens, ...new Array(width - found.tokens.length).fill(-1)];
  const [maps] = await runPart("evidence", [features, wholeNumbers(padded, [1, width])]);
  const { marginals } = found;
  return {
    logits: marginals ? Array.from(marginals.slice(0, logits.data.length), logit) : Array.from(logits.data),
    tokens: found.tokens,
    tokenScores: found.scores,
    maps: splitMaps(maps).slice(0, found.tokens.length),
    boxes: null,
    parts: null,
    distance: null,
  };
}

async function runPart(name, tensors) {
  const session = network.parts[name];
  const feeds = Object.fromEntries(session.inputNames.map((input, index) => [input, tensors[index]]));
  const found = await session.run(feeds);
  return session.outputNames.map((output) => found[output]);
}

function wholeNumbers(values, dims) {
  return new network.ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
}

function pickRows(state, rows) {
  return state.map(({ type, data, dims }) => {
    const width = data.length / dims[0], picked = new data.constructor(rows.length * width);
    rows.forEach((row, place) => picked.set(data.subarray(row * width, (row + 1) * width), place * width));
    return new network.ort.Tensor(type, picked, [rows.length, ...dims.slice(1)]);
  });
}

function logit(score) {
  const kept = Math.min(Math.max(score, SURE), 1 - SURE);
  return Math.log(kept / (1 - kept));
}
