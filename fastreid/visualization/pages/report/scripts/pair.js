"use strict";

// The dialog with images side by side, large, with all that is known of them.
(() => {
  const { el, byId } = Report;
  let steps = [];
  let place = 0;

  function facts(entries) {
    return el(
      "dl",
      {},
      entries.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
    );
  }

  function figure({ image, kind, title, facts: entries = [], maps = null }) {
    const camera = Report.cameraOf(image);
    const known = [
      ["Identity", Report.identityOf(image)],
      ...(camera ? [["Camera", camera]] : []),
      ["Split", Report.splitOf(image) || "–"],
      ...entries,
    ];
    const list = facts(known);
    list.append(el("dt", {}, "File"), Report.pathElement("dd", image));
    return el(
      "figure",
      {},
      el("p", { class: "note" }, title ?? ""),
      Report.framed(image, kind, { scale: 2, label: Report.labelsOf(image), run: maps }),
      el("figcaption", {}, list),
    );
  }

  function show() {
    const step = steps[place];
    const move = (by) =>
      el(
        "button",
        {
          type: "button",
          class: "quiet",
          disabled: !steps[place + by],
          "aria-label": by < 0 ? "Previous pair" : "Next pair",
          onclick: () => go(by),
        },
        by < 0 ? "←" : "→",
      );
    byId("pair").replaceChildren(
      el(
        "header",
        {},
        el("h2", {}, step.title),
        el("div", { class: "moves" }, move(-1), move(1)),
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            autofocus: true,
            onclick: () => byId("pair").close(),
            "aria-label": "Close",
          },
          "✕",
        ),
      ),
      step.note ? el("p", { class: "note" }, step.note) : "",
      el("div", { class: `figures${step.figures.length > 2 ? " three" : ""}` }, step.figures.map(figure)),
    );
  }

  function go(by) {
    if (!steps[place + by]) return;
    place += by;
    show();
    byId("pair").querySelector("[autofocus]").focus();
  }

  /**
   * Open the dialog.
   *   all: the steps one can go through, each { title, note, figures: [{ image, kind, title, facts, maps }] };
   *     a kind of null is a query, "plain" says nothing.
   */
  Report.openPair = (all, first = 0) => {
    steps = all;
    place = first;
    show();
    byId("pair").showModal();
  };

  Report.startPair = () => {
    byId("pair").addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") go(-1);
      if (event.key === "ArrowRight") go(1);
      event.stopPropagation();
    });
    byId("pair").addEventListener("click", (event) => {
      if (event.target === byId("pair")) byId("pair").close();
    });
  };
})();
