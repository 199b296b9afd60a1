// What the points mean: colours, legend, search, and the image that is pointed at.
"use strict";

(() => {
  const data = window.EMBED_MAP;
  const get = (id) => document.getElementById(id);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const READING = {
    tsne: "Images that are near each other are alike to the model. Distances between groups, and their sizes, mean little.",
    umap: "Images that are near each other are alike to the model. Distances between far groups mean little.",
    pca: "The two directions in which the features differ most. Images that are far apart differ; near ones may differ in what is not shown.",
  };
  const MOST_IN_LEGEND = 40;
  const FEW = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]; // Okabe and Ito
  const state = { colour: data.colour, hidden: new Set(), found: null, kept: -1, shown: -1 };

  const codesOf = (kind) => data.labels[kind].codes;
  const nameOf = (kind, code) => {
    if (code >= 0) return data.labels[kind].names[code];
    return kind === "identity" ? "nobody" : "not known";
  };

  function colourOf(kind, code) {
    if (code < 0) return dark.matches ? "#7d858e" : "#8a8a8a";
    const count = data.labels[kind].names.length;
    if (count <= FEW.length) return dark.matches && code === 6 ? "#f0f0f0" : FEW[code];
    const light = (dark.matches ? [72, 60, 82] : [36, 50, 60])[code % 3];
    return `hsl(${Math.round((code * 222.49) % 360)} 70% ${light}%)`; // hues a golden angle apart
  }

  function looks(point) {
    const code = codesOf(state.colour)[point];
    if (state.hidden.has(code)) return { colour: null, strong: false, faint: false };
    const strong = state.found !== null && state.found.has(codesOf("identity")[point]);
    return { colour: colourOf(state.colour, code), strong, faint: state.found !== null && !strong };
  }

  const scatter = new Scatter(get("map"), data.x, data.y, looks, pointAt);

  // An image that is pointed at is shown until another one is; a kept one until it is let go.
  function pointAt(point, kept) {
    if (kept) state.kept = point;
    else if (state.kept >= 0 || point < 0) return;
    show(point);
  }

  function show(point) {
    scatter.ring = point;
    scatter.draw();
    if (point < 0 || point === state.shown) return;
    state.shown = point;
    for (const kind of ["identity", "camera", "split"]) {
      get(`of-${kind}`).textContent = nameOf(kind, codesOf(kind)[point]);
    }
    get("of-path").textContent = data.paths[point];
    showPicture(point);
  }

  function showPicture(point) {
    const { cell, columns, rows } = data.sheets;
    const place = point % (columns * rows);
    const sheet = String(Math.floor(point / (columns * rows))).padStart(4, "0");
    const picture = get("picture");
    picture.setAttribute("aria-label", `Image of ${nameOf("identity", codesOf("identity")[point])}`);
    picture.style.backgroundImage = `url("thumbnails/${sheet}.jpg")`;
    picture.style.backgroundPosition = `${-(place % columns) * cell[0]}px ${-Math.floor(place / columns) * cell[1]}px`;
  }

  function step(by) {
    const points = data.x.map((_, point) => point).filter((point) => {
      const { colour, faint } = looks(point);
      return colour !== null && !faint;
    });
    if (!points.length) return;
    const at = points.indexOf(state.shown);
    const next = points[at < 0 ? (by > 0 ? 0 : points.length - 1) : (at + by + points.length) % points.length];
    pointAt(next, true);
    scatter.reveal(next);
  }

  function search() {
    const text = get("search").value.trim();
    const { names } = data.labels.identity;
    const lower = text.toLowerCase();
    const exact = names.indexOf(text);
    const codes = exact >= 0 ? [exact] : names.flatMap((name, code) => (name.toLowerCase().includes(lower) ? [code] : []));
    state.found = text ? new Set(codes) : null;
    const images = codesOf("identity").filter((code) => state.found?.has(code)).length;
    const what = codes.length === 1 ? `identity ${names[codes[0]]}` : `${codes.length} identities`;
    get("found").textContent = !text ? "" : codes.length ? `${images} images of ${what}` : "no such identity";
    scatter.draw();
  }

  function choose(colour) {
    state.colour = colour;
    state.hidden.clear();
    const { names, codes } = data.labels[colour];
    const counts = new Map();
    for (const code of codes) counts.set(code, (counts.get(code) || 0) + 1);
    const many = names.length > MOST_IN_LEGEND;
    get("legend-note").textContent = many
      ? `${names.length} values of ${colour}; some colours are alike. Search for an identity to find it.`
      : "Press a name to hide it, and to show it again.";
    const used = [...counts.keys()].sort((one, two) => (one < 0) - (two < 0) || one - two);
    get("legend").replaceChildren(...(many ? used.filter((code) => code < 0) : used).map((code) => entry(code, counts.get(code))));
    scatter.draw();
  }

  function entry(code, count) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const parts = ["swatch", "name", "count"].map((name) => {
      const part = document.createElement("span");
      part.className = name;
      return part;
    });
    parts[0].style.backgroundColor = colourOf(state.colour, code);
    parts[1].textContent = nameOf(state.colour, code);
    parts[2].textContent = String(count);
    button.append(...parts);
    button.addEventListener("click", () => {
      const hide = !state.hidden.has(code);
      if (hide) state.hidden.add(code);
      else state.hidden.delete(code);
      button.setAttribute("aria-pressed", String(!hide));
      scatter.draw();
    });
    item.append(button);
    return item;
  }

  document.title = data.title;
  get("title").textContent = data.title;
  get("note").textContent = data.note;
  get("missing").hidden = !data.sheets.missing;
  get("missing").textContent = `${data.sheets.missing} images could not be read when this page was made; a crossed-out one stands for each.`;
  get("reading").textContent = READING[data.method] || "Images that are near each other are alike to the model.";
  get("map").setAttribute("aria-label", `${data.title}: ${data.note}`);
  get("image").style.gridTemplateColumns = `${data.sheets.cell[0]}px minmax(0, 1fr)`;
  get("picture").style.width = `${data.sheets.cell[0]}px`;
  get("picture").style.height = `${data.sheets.cell[1]}px`;
  get("identities").append(
    ...data.labels.identity.names.map((name) => {
      const option = document.createElement("option");
      option.value = name;
      return option;
    }),
  );
  get("colour").value = state.colour;
  get("colour").addEventListener("change", (event) => choose(event.target.value));
  get("search").addEventListener("input", search);
  get("tools").addEventListener("submit", (event) => {
    event.preventDefault();
    step(1);
  });
  get("closer").addEventListener("click", () => scatter.zoom(1.6));
  get("farther").addEventListener("click", () => scatter.zoom(1 / 1.6));
  get("whole").addEventListener("click", () => scatter.showAll());
  get("previous").addEventListener("click", () => step(-1));
  get("next").addEventListener("click", () => step(1));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    state.kept = -1;
    show(-1);
  });
  dark.addEventListener("change", () => choose(state.colour));
  choose(state.colour);
})();
