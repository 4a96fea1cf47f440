"use strict";
// The cards: which are shown, and what is drawn over each image.

const DATA = JSON.parse(document.getElementById("page-data").textContent);

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
    const view = readKnobs(form, DATA.colormaps);
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

function drawCard(card, view) {
  const { data, element } = card;
  const image = element.querySelector("img"), ready = image && image.complete ? image : null;
  const box = drawEvidence(element.querySelector("canvas"), ready, data, card.region, card.maps, view);
  showChoice(element, data, card.region);
  const best = box ? Math.max(-1, ...data.boxes.map((truth) => overlap(box, truth))) : -1;
  const badge = element.querySelector(".overlap");
  badge.hidden = best < 0;
  badge.textContent = `IoU ${best.toFixed(2)}`;
}
