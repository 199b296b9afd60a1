"use strict";

// The table of camera pairs: how well queries of one camera find their matches by another.
(() => {
  const { el } = Report;
  let shown = "0"; // a run, or "change"

  const pairsOf = (run) => Report.meta().runs[run].curves.cameraPairs ?? [];

  function values() {
    const versus = Report.versus();
    const key = (pair) => JSON.stringify([pair.query, pair.gallery]);
    if (shown !== "change" || versus === null) {
      const run = Number(shown) || 0;
      return new Map(pairsOf(run).map((pair) => [key(pair), { ...pair, value: pair.map }]));
    }
    const first = new Map(pairsOf(0).map((pair) => [key(pair), pair.map]));
    const both = pairsOf(versus).filter((pair) => first.has(key(pair)));
    return new Map(both.map((pair) => [key(pair), { ...pair, value: pair.map - first.get(key(pair)) }]));
  }

  function colours(value, all) {
    if (shown === "change") {
      const largest = Math.max(1, ...all.map(Math.abs));
      return {
        "--share": `${Math.round((75 * Math.abs(value)) / largest)}%`,
        "--hue": value < 0 ? "var(--worse)" : "var(--better)",
      };
    }
    return { "--share": `${Math.round(value * 0.75)}%`, "--hue": "var(--heat)" };
  }

  function open(pair) {
    Report.clearFilters();
    Report.set({ view: "queries", cam: pair.query, pair: pair.gallery, sort: "ap", desc: "", q: "" }, { step: true });
  }

  function cell(pair, all) {
    if (!pair) return el("td", { class: "none" }, el("span", { class: "hidden" }, "no such pair"));
    const text = shown === "change" ? Report.signed(pair.value) : Report.percent(pair.value);
    const [from, to] = [pair.query, pair.gallery].map((camera) => Report.cameraWords(camera));
    const found = `mAP ${shown === "change" ? "changes by " : ""}${text} %`;
    const queries = Report.plural(pair.queries, "query", "queries");
    const words = `${from} to ${to}: ${found}, ${queries}`;
    const rank1 = shown === "change" ? "" : `, Rank-1 ${Report.percent(pair.rank1)} %`;
    const title = `Queries by ${from}, matches by ${to}: ${found}${rank1}, ${queries}`;
    return el(
      "td",
      {},
      el(
        "button",
        {
          type: "button",
          style: colours(pair.value, all),
          "aria-label": words,
          "data-words": title,
          onclick: () => open(pair),
        },
        text,
      ),
    );
  }

  function build(host) {
    const found = values();
    const names = Report.cameraNames().filter(Boolean);
    const rows = names.filter((name) => [...found.values()].some((pair) => pair.query === name));
    const columns = names.filter((name) => [...found.values()].some((pair) => pair.gallery === name));
    const all = [...found.values()].map((pair) => pair.value);
    const readout = el(
      "p",
      { class: "readout idle", "aria-hidden": "true" },
      "Point at a pair to read it; click to see its queries.",
    );
    const table = el(
      "table",
      { class: "heat" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("td", { class: "corner" }, "match →", el("br"), "query ↓"),
          columns.map((name) => el("th", { scope: "col", title: name }, name)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            el("th", { scope: "row", title: row }, row),
            columns.map((column) => cell(found.get(JSON.stringify([row, column])), all)),
          ),
        ),
      ),
    );
    const tell = (event) => {
      const words = event.target.closest?.("[data-words]")?.dataset.words;
      if (!words) return;
      readout.classList.remove("idle");
      readout.replaceChildren(words);
    };
    for (const type of ["pointerover", "focusin"]) table.addEventListener(type, tell);
    host.replaceChildren(el("div", { class: "scroll" }, table), readout);
  }

  function choice(host) {
    const versus = Report.versus();
    if (Report.runCount() < 2) return null;
    const options = Report.meta().runs.map((_, run) => [String(run), `${Report.letter(run)}: ${Report.runName(run)}`]);
    if (versus !== null) options.push(["change", `change from A to ${Report.letter(versus)}`]);
    const field = el(
      "select",
      {
        "aria-label": "Which run",
        onchange: (event) => {
          shown = event.target.value;
          build(host);
        },
      },
      options.map(([value, text]) => el("option", { value }, text)),
    );
    field.value = shown;
    return field;
  }

  /** Return the table with its title, or null if cameras are not known. */
  Report.heatmap = () => {
    const pairs = Math.max(...Report.meta().runs.map((_, run) => pairsOf(run).length));
    if (!pairs) return null;
    const count = Report.meta().runs[0].curves.cameraPairCount;
    const host = el("div", {});
    build(host);
    const rest = count > pairs ? ` The worst ${pairs} of ${count} pairs are shown.` : "";
    return el(
      "figure",
      { class: "chart" },
      el(
        "figcaption",
        {},
        el("h3", {}, "Camera pairs, mAP in percent"),
        el("p", { class: "note" }, `How well queries of one camera find their matches by another.${rest}`),
      ),
      choice(host),
      host,
    );
  };
})();
