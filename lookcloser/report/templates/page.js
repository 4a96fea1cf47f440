"use strict";
// Tables that sort, and the confusion matrix of many classes.

function setUpSorting() {
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => (rising ? 1 : -1) * compare(a, b, column)));
    }));
  }
}

function compare(a, b, column) {
  const [first, second] = [a, b].map((row) => row.cells[column].dataset.value);
  return column ? first - second : first.localeCompare(second);
}

function setUpMatrix() {
  const canvas = document.getElementById("matrix");
  if (!canvas) return;
  const size = DATA.names.length, totals = new Array(size).fill(0), counts = new Map();
  for (const [row, column, count] of DATA.confusion) {
    totals[row] += count;
    counts.set(row * size + column, count);
  }

  function draw() {
    const style = getComputedStyle(canvas), context = canvas.getContext("2d");
    const step = canvas.width / size;
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const [row, column, count] of DATA.confusion) {
      context.fillStyle = style.getPropertyValue(row === column ? "--accent" : "--wrong");
      context.globalAlpha = 0.15 + 0.85 * (count / totals[row]);
      context.fillRect(column * step, row * step, Math.max(step - 0.5, 1), Math.max(step - 0.5, 1));
    }
  }

  const said = document.getElementById("matrix-cell"), hint = said.textContent;
  canvas.addEventListener("pointermove", (event) => {
    const column = Math.floor((event.offsetX / canvas.clientWidth) * size);
    const row = Math.floor((event.offsetY / canvas.clientHeight) * size);
    const count = counts.get(row * size + column) || 0;
    const times = `${count} of ${totals[row]}`;
    said.textContent = row === column
      ? `${DATA.names[row]}: right ${times}`
      : `${DATA.names[row]} taken for ${DATA.names[column]}: ${times}`;
  });
  canvas.addEventListener("pointerleave", () => { said.textContent = hint; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

setUpGallery();
setUpSorting();
setUpMatrix();
