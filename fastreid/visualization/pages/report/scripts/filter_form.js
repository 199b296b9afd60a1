"use strict";

// The form above the list of queries.
(() => {
  const { el } = Report;
  const fields = {}; // by key of the state

  function labelled(text, field, extra = {}) {
    return el("label", { class: "field", ...extra }, el("span", {}, text), field);
  }

  function select(key, options) {
    fields[key] = el(
      "select",
      { name: key, onchange: (event) => Report.set({ [key]: event.target.value }) },
      options.map(([value, text]) => el("option", { value }, text)),
    );
    return fields[key];
  }

  function input(key, attributes) {
    fields[key] = el("input", {
      name: key,
      autocomplete: "off",
      spellcheck: "false",
      oninput: (event) => Report.set({ [key]: event.target.value }),
      ...attributes,
    });
    return fields[key];
  }

  function check(key, text) {
    fields[key] = el("input", {
      type: "checkbox",
      name: key,
      onchange: (event) => Report.set({ [key]: event.target.checked ? "1" : "" }),
    });
    return el("label", { class: "check" }, fields[key], el("span", {}, text));
  }

  function cameraOptions(any) {
    const known = Report.cameraNames().filter(Boolean);
    return [["", any], ...known.map((name) => [name, name])];
  }

  function sortOptions() {
    const names = Report.shownRuns().map(Report.letter);
    const shown = Object.entries(Report.SORTS).filter(([, sort]) => !sort.compared || Report.versus() !== null);
    const label = { ap: names.length > 1 ? `AP of ${names[0]}` : "AP", apB: `AP of ${names[1]}` };
    return shown
      .filter(([key]) => key !== "cam" || hasCameras())
      .flatMap(([key, sort]) => [
        [`${key} `, `${label[key] ?? sort.label} ↑`],
        [`${key} 1`, `${label[key] ?? sort.label} ↓`],
      ]);
  }

  function hasCameras() {
    return Report.cameraNames().some(Boolean);
  }

  function sortField() {
    fields.sort = el(
      "select",
      {
        name: "sort",
        onchange: (event) => {
          const [sort, desc] = event.target.value.split(" ");
          Report.set({ sort, desc });
        },
      },
      sortOptions().map(([value, text]) => el("option", { value }, text)),
    );
    return labelled("Sort by", fields.sort);
  }

  function rangeField() {
    const options = Object.entries(Report.RANGES).map(([key, range]) => [key, range.label]);
    return el(
      "fieldset",
      { class: "field limits" },
      el("legend", {}, "Range of"),
      select("range", options),
      el(
        "span",
        { class: "bounds" },
        input("min", { inputmode: "decimal", placeholder: "from", "aria-label": "from", size: 5 }),
        input("max", { inputmode: "decimal", placeholder: "to", "aria-label": "to", size: 5 }),
      ),
    );
  }

  function changeField() {
    const versus = Report.versus();
    if (versus === null) return null;
    const options = Object.entries(Report.CHANGES).map(([key, change]) => [key, change.label]);
    return labelled(`From A to ${Report.letter(versus)}`, select("change", [["", "all"], ...options]));
  }

  function versusField() {
    if (Report.runCount() < 2) return null;
    const others = Array.from({ length: Report.runCount() - 1 }, (_, place) => place + 1);
    const options = others.map((run) => [String(run), `${Report.letter(run)}: ${Report.runName(run)}`]);
    return labelled("Compare A with", select("versus", [...options, ["0", "nothing"]]));
  }

  /** Say what the list shows where that is not plain. */
  function note() {
    const { pair, wrong } = Report.state();
    const texts = [];
    if (pair) texts.push(`Queries with a true match by ${Report.cameraWords(pair)}; AP is of these matches alone.`);
    if (wrong)
      texts.push(
        `The first image that counts is of another identity${Report.versus() === null ? "" : " in either run"}.`,
      );
    return texts.join(" ");
  }

  function build() {
    const isOpen = Report.byId("fold")?.open ?? false;
    const cameras = hasCameras();
    const identity = input("id", { type: "search", placeholder: "all", id: "identity", "aria-keyshortcuts": "/" });
    const parts = [
      labelled("Identity", identity),
      sortField(),
      cameras && labelled("Query’s camera", select("cam", cameraOptions("all"))),
      Report.knowsPairs() && labelled("Matches by camera", select("pair", cameraOptions("all"))),
      rangeField(),
      versusField(),
      changeField(),
      el(
        "div",
        { class: "field checks" },
        check("wrong", "wrong at rank 1"),
        Report.meta().runs[0].withoutMatch > 0 && check("unmatched", "no true match"),
      ),
      el("p", { class: "note", id: "filter-note" }),
    ];
    const clear = el("button", { type: "button", id: "clear", class: "quiet", onclick: Report.clearFilters }, "Clear");
    const roomy = matchMedia("(min-width: 900px) and (min-height: 1000px)").matches;
    const fold = el(
      "details",
      { id: "fold", open: roomy || isOpen },
      el("summary", {}, el("span", { id: "chosen", role: "status" }), clear),
      el("div", { class: "fields" }, parts),
    );
    Report.byId("filters").replaceChildren(fold);
  }

  function show() {
    const state = Report.state();
    for (const [key, field] of Object.entries(fields)) {
      if (field.type === "checkbox") field.checked = Boolean(state[key]);
      else if (key === "sort") field.value = `${state.sort} ${state.desc}`;
      else if (field.value !== state[key]) field.value = state[key];
    }
    Report.byId("clear").hidden = !Report.isFiltered();
    Report.byId("filter-note").textContent = note();
    Report.byId("filter-note").hidden = !note();
  }

  Report.startFilterForm = () => {
    build();
    show();
    Report.byId("filters").addEventListener("submit", (event) => event.preventDefault());
    Report.listen((state, before) => {
      if (state.versus !== before.versus) build();
      show();
    });
  };

  /** Say how many queries are listed, and how well they are ranked. */
  Report.showChosen = (queries) => {
    const view = Report.viewOf(Report.state());
    const means = Report.shownRuns().map((run) => {
      const known = queries.map((query) => view.precision(run, query)).filter((value) => !Number.isNaN(value));
      return known.length ? `${Report.percent(known.reduce((sum, value) => sum + value, 0) / known.length)} %` : null;
    });
    const all = Report.plural(Report.queryCount(), "query", "queries");
    const share = queries.length === Report.queryCount() ? all : `${Report.count(queries.length)} of ${all}`;
    Report.byId("chosen").textContent = means.includes(null) ? share : `${share}, mAP ${means.join(" → ")}`;
  };

  Report.focusFilter = () => {
    Report.byId("fold").open = true;
    fields.id.focus();
    fields.id.select();
  };
})();
