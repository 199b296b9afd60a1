"use strict";

// Which queries are listed, and in which order.
(() => {
  /** What the list can be sorted by: what a query counts, and whether it begins with the largest. */
  const SORTS = {
    ap: { label: "AP", value: (query, view) => view.precision(0, query) },
    apB: { label: "AP", value: (query, view) => view.precision(view.versus, query), compared: true },
    change: {
      label: "Change",
      value: (query, view) => view.precision(view.versus, query) - view.precision(0, query),
      compared: true,
    },
    best: { label: "Best rank", value: (query) => Report.table(0).best[query] || NaN, falling: true },
    top: { label: "Top score", value: (query) => Report.table(0).top[query], falling: true },
    other: { label: "Best false score", value: (query) => Report.table(0).other[query], falling: true },
    id: { label: "Identity", value: (query) => Report.identityCode(Report.queryImage(query)) },
    cam: { label: "Camera", value: (query) => Report.cameraCode(Report.queryImage(query)) },
  };

  /** What a range of numbers may be of. */
  const RANGES = {
    ap: { label: "AP (%)", value: (query, view) => view.precision(0, query) },
    top: { label: "score of the first image", value: (query) => Report.table(0).top[query] },
    other: { label: "score of the nearest other identity", value: (query) => Report.table(0).other[query] },
    match: { label: "score of the best true match", value: (query) => Report.table(0).match[query] },
  };

  const CHANGES = {
    better: { label: "better", test: (query, view) => view.change(query) > 0 },
    worse: { label: "worse", test: (query, view) => view.change(query) < 0 },
    won: {
      label: "wrong → right at rank 1",
      test: (query, view) => Report.isWrong(0, query) && !Report.isWrong(view.versus, query),
    },
    lost: {
      label: "right → wrong at rank 1",
      test: (query, view) => !Report.isWrong(0, query) && Report.isWrong(view.versus, query),
    },
  };

  Object.assign(Report, { SORTS, RANGES, CHANGES });

  /** Return what the state means: the compared run, the camera whose matches count, and AP by them. */
  Report.viewOf = (state) => {
    const versus = Report.versus();
    const camera = state.pair && Report.knowsPairs() ? Report.cameraNames().indexOf(state.pair) : -1;
    const code = camera < 0 ? null : camera;
    const precision = (run, query) => Report.precision(run, query, code);
    return { versus, camera: code, precision, change: (query) => precision(versus, query) - precision(0, query) };
  };

  function identityTest(text) {
    const words = text.split(/[\s,]+/).filter(Boolean);
    if (!words.length) return null;
    const names = Report.identityNames();
    const exact = new Set(names);
    const whole = text.trim();
    const fits = names.map((name) => {
      if (exact.has(whole)) return name === whole;
      return words.some((word) => (exact.has(word) ? name === word : name.toLowerCase().includes(word.toLowerCase())));
    });
    return (query) => fits[Report.identityCode(Report.queryImage(query))];
  }

  function tests(state, view) {
    const found = [];
    const byIdentity = identityTest(state.id);
    if (byIdentity) found.push(byIdentity);
    if (state.cam) found.push((query) => Report.cameraOf(Report.queryImage(query)) === state.cam);
    if (view.camera !== null) found.push((query) => !Number.isNaN(view.precision(0, query)));
    const range = RANGES[state.range] ?? RANGES.ap;
    for (const [text, fits] of [
      [state.min, (value, bound) => value >= bound],
      [state.max, (value, bound) => value <= bound],
    ]) {
      const bound = Number.parseFloat(text);
      if (!Number.isNaN(bound)) found.push((query) => fits(range.value(query, view), bound));
    }
    if (state.wrong) found.push((query) => Report.shownRuns().some((run) => Report.isWrong(run, query)));
    if (state.unmatched) found.push((query) => Report.table(0).matches[query] === 0);
    const change = CHANGES[state.change];
    if (change && view.versus !== null) found.push((query) => change.test(query, view));
    return found;
  }

  /** Return the numbers of the queries that the state lists, in its order. */
  Report.chosenQueries = (state) => {
    const view = Report.viewOf(state);
    const all = tests(state, view);
    const queries = [];
    for (let query = 0; query < Report.queryCount(); query += 1) {
      if (all.every((test) => test(query))) queries.push(query);
    }
    let sort = SORTS[state.sort] ?? SORTS.ap;
    if (sort.compared && view.versus === null) sort = SORTS.ap;
    const sign = state.desc ? -1 : 1;
    const values = new Map(queries.map((query) => [query, sort.value(query, view)]));
    return queries.sort((one, two) => {
      const [first, second] = [values.get(one), values.get(two)];
      if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second) || one - two;
      return sign * (first - second) || one - two;
    });
  };

  /** Sort by a key, or the other way round if that is what the list is sorted by. */
  Report.sortBy = (key) => {
    const state = Report.state();
    const falling = SORTS[key].falling ? "1" : "";
    Report.set({ sort: key, desc: state.sort === key ? (state.desc ? "" : "1") : falling });
  };
})();
