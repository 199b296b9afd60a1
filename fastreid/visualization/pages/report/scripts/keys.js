"use strict";

// What the keyboard does, wherever one is on the page.
(() => {
  const { el, byId } = Report;

  const KEYS = [
    [["j", "↓"], "next query"],
    [["k", "↑"], "previous query"],
    [["Enter"], "open the query"],
    [["Esc"], "close what is open"],
    [["/"], "filter by identity"],
    [["m"], "activation maps on and off"],
    [["1", "2", "3"], "overview, queries, label suspects"],
    [["←", "→"], "read values in a chart; next pair in a dialog"],
    [["?"], "these keys"],
  ];

  function isTyping(target) {
    return target.closest("select, textarea, input:not([type=checkbox])") !== null;
  }

  function help() {
    const dialog = byId("keys");
    dialog.replaceChildren(
      el(
        "header",
        {},
        el("h2", { id: "keys-title" }, "Keys"),
        el(
          "button",
          { type: "button", class: "quiet", autofocus: true, "aria-label": "Close", onclick: () => dialog.close() },
          "✕",
        ),
      ),
      el(
        "dl",
        {},
        KEYS.map(([keys, words]) => [
          el(
            "dt",
            {},
            keys.map((key) => el("kbd", {}, key)),
          ),
          el("dd", {}, words),
        ]),
      ),
    );
    dialog.showModal();
  }

  const ACTIONS = {
    j: () => Report.moveBy(1),
    k: () => Report.moveBy(-1),
    ArrowDown: () => Report.moveBy(1),
    ArrowUp: () => Report.moveBy(-1),
    PageDown: () => Report.moveBy(10),
    PageUp: () => Report.moveBy(-10),
    Enter: () => Report.openCursor(),
    Escape: () => Report.closeQuery(),
    m: () => Report.meta().maps && Report.set({ maps: Report.state().maps === "1" ? "0" : "1" }),
  };

  /** Keys that scroll or press elsewhere belong to the list when it, or nothing, has the focus. */
  function belongsToList(event) {
    const { target } = event;
    return target === document.body || target.closest("#list .grid, #detail") !== null;
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { key, target } = event;
    if (isTyping(target)) {
      if (key === "Escape") Report.focusList();
      return;
    }
    const views = { 1: "overview", 2: "queries", 3: "suspects" };
    if (key === "?") help();
    else if (key in views) Report.show(views[key]);
    else if (key === "/") {
      if (Report.state().view !== "queries") Report.show("queries");
      Report.focusFilter();
    } else if (Report.state().view === "queries" && key in ACTIONS) {
      const pressing = key === "Enter" && target.closest("button, a, summary, input");
      if (pressing || (/^(Arrow|Page|Enter)/.test(key) && !belongsToList(event))) return;
      ACTIONS[key]();
    } else return;
    event.preventDefault();
  }

  Report.startKeys = () => {
    document.addEventListener("keydown", press);
    byId("help").addEventListener("click", help);
  };
})();
