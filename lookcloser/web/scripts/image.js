"use strict";
// Image files as the page shows them: checked before they are decoded, and kept small.

const MOST_PIXELS = 178956970; // where Python refuses to go on, too
const SHOWN = 1280; // longest side of what is kept for showing
const TOO_OLD = /SIMD|ReferenceError|CompileError|is not a constructor|is not supported/;
const NO_MEMORY = /memory|alloc|out of bounds|aborted|unreachable|RangeError|Array buffer/i;

const TRY_SMALLER = "Close other tabs, or take a smaller image.";

// What a browser says of a failure, as people can use it.
function explained({ name, text }, remedy = TRY_SMALLER) {
  if (TOO_OLD.test(`${name} ${text}`)) {
    return new Error("This browser cannot run the model. Take a current Chrome, Edge, Firefox or Safari.");
  }
  const error = new Error(text);
  if (NO_MEMORY.test(`${name} ${text}`)) {
    error.message = `The browser has not enough memory for this. ${remedy}`;
    error.fatal = true;
  }
  return error;
}

// A blob -> an image element with at most SHOWN pixels a side.
async function showable(blob) {
  const size = await checkSize(blob);
  let bitmap;
  try {
    bitmap = await openImage(blob, { imageOrientation: "from-image" });
  } catch (error) {
    if (Math.max(...size) > TALLEST) throw tooLong(size);
    throw explained({ name: error.name, text: error.message });
  }
  const canvas = shrunk(bitmap, bitmap.width, bitmap.height, SHOWN);
  bitmap.close();
  return loadImage(await blobOf(canvas, "image/jpeg", 0.92));
}

// From the head of the file: what is too large is never decoded.
async function checkSize(blob) {
  const image = await loadImage(blob), { naturalWidth: width, naturalHeight: height } = image;
  freeImage(image);
  if (width * height > MOST_PIXELS) {
    throw new Error(`An image of ${Math.round(width * height / 1e6)} megapixels is too large; ${Math.floor(MOST_PIXELS / 1e6)} at most.`);
  }
  if (width > WIDEST || height > TALLEST) throw tooLong([width, height]);
  if (!width) throw new Error(NOT_AN_IMAGE);
  return [width, height];
}

async function loadImage(blob) {
  const image = new Image();
  const isThere = await new Promise((done) => {
    image.onload = () => done(true);
    image.onerror = () => done(false);
    image.src = URL.createObjectURL(blob);
  });
  if (isThere) return image;
  freeImage(image);
  throw await policyTrouble() || unreadable(formatOf(await bytesOf(blob)));
}

// What stands for an image that the browser cannot show: gray, of its form.
async function blankImage([width, height]) {
  const canvas = document.createElement("canvas"), factor = SHOWN / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * factor));
  canvas.height = Math.max(1, Math.round(height * factor));
  const context = canvas.getContext("2d");
  context.fillStyle = "#888";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return loadImage(await blobOf(canvas, "image/png"));
}

function freeImage(image) {
  URL.revokeObjectURL(image.src);
}

// A canvas with an image of `width` × `height` on white, its longest side at most `longest`.
function shrunk(image, width, height, longest) {
  const factor = Math.min(1, longest / Math.max(width, height)), canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * factor));
  canvas.height = Math.max(1, Math.round(height * factor));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function blobOf(canvas, type, quality) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(explained({ name: "RangeError", text: "no memory" }))), type, quality);
  });
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function asJson(value) {
  return new Blob([JSON.stringify(value, null, 1)], { type: "application/json" });
}
