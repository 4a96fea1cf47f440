"use strict";
// Images come in: chosen, pasted, or dropped, folders with all images below them.

const NO_IMAGE = "There was no image in this. Drop or paste image files.";
const AN_ADDRESS = "This is an address, not an image. Save the image, then drop or paste the file.";

// `add(files)` gets what came, `complain(text)` what is wrong with it.
function listenForImages(add, complain) {
  const files = document.querySelector("#files");
  document.querySelector("#choose").addEventListener("click", () => files.click());
  files.addEventListener("change", () => {
    add([...files.files]);
    files.value = "";
  });
  let over = 0;
  const mark = (by) => {
    over = Math.max(over + by, 0);
    document.body.classList.toggle("over", over > 0);
  };
  const take = async (transfer) => {
    const nothing = /^\s*(https?|data|file):/.test(transfer.getData("text")) ? AN_ADDRESS : NO_IMAGE;
    const found = await filesOf(transfer).catch(() => []);
    if (found.length) add(found);
    else complain(nothing);
  };
  document.addEventListener("dragenter", () => mark(1));
  document.addEventListener("dragleave", () => mark(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-over);
    take(event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    if (!(event.target instanceof HTMLInputElement)) take(event.clipboardData);
  });
}

// The files of a drop; of folders what looks like images, in the order of their names.
async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
  const files = [...transfer.files]; // now: after the event nothing is left of it
  if (!entries.some((entry) => entry && entry.isDirectory)) return files;
  const found = await Promise.all(entries.filter(Boolean).map(filesBelow));
  return found.flat();
}

async function filesBelow(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    return /^image\//.test(file.type) || /\.(hei[cf]|avif|tiff?|jp2)$/i.test(file.name) ? [file] : [];
  }
  const reader = entry.createReader(), entries = [];
  for (;;) { // each time some of them come, at last none
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) break;
    entries.push(...some);
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const found = await Promise.all(entries.map(filesBelow));
  return found.flat();
}
