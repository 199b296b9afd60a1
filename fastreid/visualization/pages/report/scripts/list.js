"use strict";

// The list of queries. Only the rows that can be seen are in the page.
(() => {
  const { el } = Report;
  const BEYOND = 6; // rows above and below

  let grid, scroller, rows, empty;
  let queries = [];
  let places = new Map(); // query -> row
  let cursor = 0; // row that the keys are at
  let height = 76;

  function columns() {
    const versus = Report.versus();
    if (versus === null) {
      return [
        ["id", "Identity"],
        ["ap", "AP %"],
        ["best", "Best rank"],
        ["top", "Top score"],
      ];
    }
    return [
      ["id", "Identity"],
      ["ap", "AP A %"],
      ["apB", `AP ${Report.letter(versus)} %`],
      ["change", "Change"],
    ];
  }

  function header() {
    const state = Report.state();
    return el(
      "div",
      { role: "row", class: "row head", "aria-rowindex": 1 },
      el("span", { role: "columnheader", class: "picture" }, el("span", { class: "hidden" }, "Image")),
      columns().map(([key, label]) => {
        const sorted = state.sort === key ? (state.desc ? "descending" : "ascending") : "none";
        const arrow = { ascending: "↑", descending: "↓", none: "" }[sorted];
        const button = el(
          "button",
          { type: "button", "data-sort": key, onclick: () => Report.sortBy(key), title: `Sort by ${label}` },
          label,
          el("span", { class: "arrow", "aria-hidden": "true" }, arrow),
        );
        return el("span", { role: "columnheader", class: `cell of-${key}`, "aria-sort": sorted }, button);
      }),
    );
  }

  function bar(value, run) {
    const width = Number.isNaN(value) ? 0 : value;
    return el(
      "span",
      { class: "bar", "aria-hidden": "true" },
      el("span", { style: { width: `${width}%`, background: `var(--run-${run})` } }),
    );
  }

  function cells(query, view) {
    const table = Report.table(0);
    const precision = view.precision(0, query);
    const first = el("span", { role: "gridcell", class: "cell of-ap" }, Report.percent(precision), bar(precision, 0));
    if (view.versus === null) {
      const best = table.best[query];
      return [
        first,
        el(
          "span",
          { role: "gridcell", class: `cell of-best${best > 1 ? " wrong" : ""}` },
          best ? Report.count(best) : "none",
        ),
        el("span", { role: "gridcell", class: "cell of-top" }, Report.score(table.top[query])),
      ];
    }
    const other = view.precision(view.versus, query);
    const change = other - precision;
    const direction = change > 0 ? "better" : change < 0 ? "worse" : "";
    return [
      first,
      el("span", { role: "gridcell", class: "cell of-apB" }, Report.percent(other), bar(other, view.versus)),
      el("span", { role: "gridcell", class: `cell of-change ${direction}` }, Report.signed(change)),
    ];
  }

  function row(place, view, open) {
    const query = queries[place];
    const image = Report.queryImage(query);
    const camera = Report.cameraOf(image);
    return el(
      "div",
      {
        role: "row",
        id: `query-${query}`,
        class: `row${query === open ? " open" : ""}${place === cursor ? " at" : ""}`,
        "data-query": query,
        "aria-rowindex": place + 2,
        "aria-selected": query === open ? "true" : "false",
        style: { top: `${place * height}px` },
        onclick: () => openAt(place),
      },
      el("span", { role: "gridcell", class: "picture" }, Report.thumb(image, { scale: 0.5 })),
      el(
        "span",
        { role: "gridcell", class: "cell of-id" },
        el("strong", { title: Report.identityOf(image) }, Report.identityOf(image)),
        camera && el("small", { title: camera }, Report.cameraWords(camera)),
      ),
      cells(query, view),
    );
  }

  function draw() {
    if (!scroller.clientHeight) return; // the view is hidden
    const first = Math.max(0, Math.floor(scroller.scrollTop / height) - BEYOND);
    const end = Math.min(queries.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / height) + BEYOND);
    const view = Report.viewOf(Report.state());
    const open = Report.openQuery();
    rows.style.height = `${queries.length * height}px`;
    rows.replaceChildren(...Array.from({ length: end - first }, (_, place) => row(first + place, view, open)));
    const at = queries[cursor];
    if (at !== undefined && cursor >= first && cursor < end) grid.setAttribute("aria-activedescendant", `query-${at}`);
    else grid.removeAttribute("aria-activedescendant");
  }

  const drawSoon = Report.eachFrame(draw);

  function toCursor() {
    const top = cursor * height;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    const below = top + height - (scroller.clientHeight - rows.offsetTop); // the header stays above the rows
    if (below > scroller.scrollTop) scroller.scrollTop = below;
  }

  function choose() {
    queries = Report.chosenQueries(Report.state());
    places = new Map(queries.map((query, place) => [query, place]));
    const open = places.get(Report.openQuery());
    cursor = open ?? Math.min(cursor, Math.max(0, queries.length - 1));
    grid.setAttribute("aria-rowcount", queries.length + 1);
    grid.querySelector(".head").replaceWith(header());
    grid.classList.toggle("compared", Report.versus() !== null);
    empty.hidden = queries.length > 0;
    Report.showChosen(queries);
    toCursor();
    draw();
  }

  function openAt(place) {
    const query = queries[place];
    if (query === undefined) return;
    cursor = place;
    const isOpen = Report.openQuery() !== null;
    Report.set({ q: String(query) }, { step: !isOpen });
    draw();
  }

  /** Return the number of the open query, or null. */
  Report.openQuery = () => {
    const { q } = Report.state();
    const query = Number(q);
    return q !== "" && Number.isInteger(query) && query >= 0 && query < Report.queryCount() ? query : null;
  };

  /** Return where the open query is in the list: [place, number of all]; the place is -1 if filters leave it out. */
  Report.placeInList = () => [places.get(Report.openQuery()) ?? -1, queries.length];

  /** Go to another row; an open query is exchanged for that one. */
  Report.moveBy = (steps) => {
    if (!queries.length) return;
    const known = Report.openQuery() === null || places.has(Report.openQuery());
    cursor = known ? Math.min(queries.length - 1, Math.max(0, cursor + steps)) : 0;
    toCursor();
    if (Report.openQuery() !== null) openAt(cursor);
    else draw();
  };

  Report.openCursor = () => openAt(cursor);

  Report.focusList = () => grid.focus({ preventScroll: true });

  Report.startList = () => {
    rows = el("div", { class: "rows" });
    scroller = el("div", { class: "scroller", role: "rowgroup" }, el("div", { class: "head" }), rows);
    empty = el(
      "div",
      { class: "empty", hidden: true },
      el("p", {}, "No query fits these filters."),
      el("button", { type: "button", onclick: Report.clearFilters }, "Clear the filters"),
    );
    grid = el("div", { role: "grid", tabindex: 0, class: "grid", "aria-label": "Queries" }, scroller);
    Report.byId("list").replaceChildren(grid, empty);
    height = Number.parseFloat(getComputedStyle(grid).getPropertyValue("--row-height")) || height;
    scroller.addEventListener("scroll", drawSoon, { passive: true });
    new ResizeObserver(drawSoon).observe(scroller);
    choose();
    Report.listen((state, before) => {
      const keys = [
        "sort",
        "desc",
        "id",
        "cam",
        "pair",
        "range",
        "min",
        "max",
        "wrong",
        "unmatched",
        "change",
        "versus",
      ];
      if (keys.some((key) => state[key] !== before[key])) {
        scroller.scrollTop = 0;
        cursor = 0;
        choose();
      } else if (state.q !== before.q) {
        cursor = places.get(Report.openQuery()) ?? cursor;
        draw();
      }
    });
  };
})();
