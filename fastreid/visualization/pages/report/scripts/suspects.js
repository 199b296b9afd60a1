"use strict";

// Images and identities whose labels the features contradict.
(() => {
  const { el, byId } = Report;
  const PAGE = 50; // rows that are shown at first, and with each step
  const STRIP = 6; // thumbnails of a cell

  let found; // of data/suspects.js
  let shown = PAGE;

  const NAMES = {
    wrong_label: "wrong label",
    two_people: "two people",
    one_person: "one person",
    near_duplicate: "near duplicate",
  };
  const nameOf = (kind) => NAMES[kind] ?? kind.replaceAll("_", " ");

  function chosen() {
    const { kind } = Report.state();
    return found.rows.filter((row) => !kind || row.kind === kind);
  }

  function closeness(image) {
    return image.closeness === null
      ? []
      : [
          ["Closeness", image.closeness.toFixed(2)],
          ["Cosine", Report.score(image.cosine)],
        ];
  }

  /** Return the dialog's step of a suspect: what is in doubt, what it is like, and what it should be like. */
  function stepOf(row) {
    const figures = [{ image: row.images[0].image, kind: "plain", title: "in doubt" }];
    const second = row.other[0] ?? row.images[1];
    if (second) figures.push({ image: second.image, kind: "plain", title: row.otherTitle, facts: closeness(second) });
    if (row.own[0])
      figures.push({ image: row.own[0].image, kind: "plain", title: row.ownTitle, facts: closeness(row.own[0]) });
    return { title: `${row.rank}. ${nameOf(row.kind)}, score ${row.score.toFixed(2)}`, note: row.evidence, figures };
  }

  function strip(title, images, count, open) {
    if (!images.length) return null;
    const names = new Set(images.map(({ image }) => Report.identityOf(image)));
    const whose = names.size === 1 ? `: ${[...names][0]}` : "";
    const more = `${title}${whose}${count > STRIP ? `, ${STRIP} of ${Report.count(count)}` : ""}`;
    return el(
      "div",
      { class: "strip" },
      el("p", { class: "note" }, more),
      el(
        "div",
        { class: "thumbs" },
        images
          .slice(0, STRIP)
          .map(({ image }) =>
            el(
              "button",
              { type: "button", class: "bare", "aria-label": `${title}: ${Report.labelsOf(image)}`, onclick: open },
              Report.framed(image, "plain", { scale: 0.625 }),
              names.size > 1
                ? el("span", { class: "second", title: Report.identityOf(image) }, Report.identityOf(image))
                : null,
            ),
          ),
      ),
    );
  }

  function line(row, place, all) {
    const open = () => Report.openPair(all.map(stepOf), place);
    return el(
      "tr",
      { class: "suspect" },
      el(
        "td",
        { class: "score" },
        el("strong", {}, row.score.toFixed(2)),
        el(
          "span",
          { class: "bar", "aria-hidden": "true" },
          el("span", { style: { width: `${Math.min(100, (100 * row.score) / 1.5)}%` } }),
        ),
      ),
      el(
        "td",
        { class: "what" },
        el("span", { class: "tag" }, nameOf(row.kind)),
        el("button", { type: "button", class: "link evidence", onclick: open }, row.evidence),
      ),
      el(
        "td",
        { class: "strips" },
        el(
          "div",
          {},
          strip("in doubt", row.images, row.imageCount, open),
          strip(row.otherTitle, row.other, row.other.length, open),
          strip(row.ownTitle, row.own, row.own.length, open),
        ),
      ),
    );
  }

  function kinds() {
    const { kind } = Report.state();
    const button = (value, text, count) =>
      el(
        "button",
        {
          type: "button",
          class: "toggle",
          "data-kind": value,
          "aria-pressed": String(kind === value),
          onclick: () => Report.set({ kind: value }),
        },
        `${text} `,
        el("small", {}, Report.count(count)),
      );
    return el(
      "div",
      { class: "kinds", role: "group", "aria-label": "Kind" },
      button("", "all", found.rows.length),
      found.kinds.filter((own) => own.count).map((own) => button(own.name, nameOf(own.name), own.count)),
    );
  }

  /** Write a cell as RFC 4180 has it. */
  function quoted(text) {
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  async function download() {
    const { columns, cells } = await Report.need("suspects-csv");
    const lines = [columns, ...chosen().map((row) => cells[row.rank - 1])];
    const text = lines.map((own) => `${own.map(quoted).join(",")}\r\n`).join("");
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    el("a", { href: address, download: "suspects.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  function draw() {
    const all = chosen();
    const { kind } = Report.state();
    const words = found.kinds.find((own) => own.name === kind)?.words;
    const cut =
      found.total > found.rows.length
        ? ` The first ${Report.count(found.rows.length)} of ${Report.count(found.total)} are here; suspects.csv has all.`
        : "";
    const rows = all.slice(0, shown).map((row, place) => line(row, place, all));
    const more = el(
      "button",
      {
        type: "button",
        class: "button",
        onclick: () => {
          shown += PAGE;
          draw();
        },
      },
      "Show more",
    );
    byId("view-suspects").replaceChildren(
      el(
        "div",
        { class: "suspects-head" },
        el("h2", {}, "Label suspects"),
        el(
          "p",
          { class: "note" },
          `What the features of ${Report.runName(0)} contradict; look before you change a label. `,
          words ? `Here: ${words}.` : "",
          cut,
        ),
        found.message ? el("p", { class: "note" }, found.message) : null,
        found.rows.length
          ? el(
              "div",
              { class: "options" },
              kinds(),
              el(
                "button",
                { type: "button", class: "button", id: "csv", onclick: () => download().catch(Report.complain) },
                "Export as CSV",
              ),
            )
          : null,
      ),
      rows.length
        ? el(
            "table",
            { class: "suspect-table" },
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                ["Score", "Evidence", "Images"].map((name) => el("th", { scope: "col" }, name)),
              ),
            ),
            el("tbody", {}, rows),
          )
        : el("p", { class: "pick" }, found.message ? "" : "Nothing suspicious was found."),
      all.length > shown ? more : "",
    );
  }

  Report.startSuspects = async () => {
    if (!Report.meta().suspects) return;
    const begin = async () => {
      found ??= await Report.need("suspects");
      draw();
    };
    Report.listen((state, before) => {
      if (state.kind !== before.kind) shown = PAGE;
      if (state.view === "suspects" && (state.view !== before.view || state.kind !== before.kind))
        begin().catch(Report.complain);
    });
    if (Report.state().view === "suspects") await begin();
  };
})();
