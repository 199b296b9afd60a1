"use strict";

// The first view: headline numbers, what was judged, and the charts.
(() => {
  const { el, svg } = Report;
  const TILES = ["mAP", "MAP@R", "Rank-1", "Recall@1", "mINP", "TPR@FPR=1e-03", "DIR@FAR=1e-01"];
  const WORDS = {
    "TPR@FPR=1e-03": "TPR at FPR 0.1 %",
    "TPR@FPR=1e-04": "TPR at FPR 0.01 %",
    "TPR@FPR=1e-02": "TPR at FPR 1 %",
    "DIR@FAR=1e-01": "DIR at FAR 10 %",
    "DIR@FAR=1e-02": "DIR at FAR 1 %",
    metric: "metric (mean of Rank-1 and mAP)",
  };

  const runs = () => Report.meta().runs;
  const wordsFor = (name) => (name === "metric" && !numberOf(0, "Rank-1") ? "metric" : (WORDS[name] ?? name));
  const numberOf = (run, name) => runs()[run].numbers.find((number) => number.name === name);

  function names() {
    return [...new Set(runs().flatMap((run) => run.numbers.map((number) => number.name)))];
  }

  function intervalText(number) {
    return number?.interval ? `${Report.percent(number.interval[0])} to ${Report.percent(number.interval[1])}` : "–";
  }

  /** Draw a number and its interval between 0 and 100. */
  function whisker(run, number, width = 120) {
    const x = (value) => 4 + ((width - 8) * value) / 100;
    const known = number?.value !== null && number?.value !== undefined;
    return svg(
      "svg",
      { class: "whisker", width, height: 12, viewBox: `0 0 ${width} 12`, "aria-hidden": "true" },
      svg("line", { class: "track", x1: 4, x2: width - 4, y1: 6, y2: 6 }),
      number?.interval
        ? svg("line", { class: `span run-${run}`, x1: x(number.interval[0]), x2: x(number.interval[1]), y1: 6, y2: 6 })
        : null,
      known ? svg("circle", { class: `run-${run}`, cx: x(number.value), cy: 6, r: 3.5 }) : null,
    );
  }

  function verdict(name) {
    const versus = Report.versus();
    const own = versus === null ? null : runs()[versus].comparison?.[name];
    if (!own) return null;
    const words = {
      better: `${Report.letter(versus)} is better`,
      worse: `${Report.letter(versus)} is worse`,
      undecided: "undecided",
    }[own.verdict];
    const [low, high] = own.interval;
    return el(
      "p",
      { class: `verdict ${own.verdict}` },
      el("strong", {}, words),
      ` ${Report.signed(own.difference)} (${Report.signed(low)} to ${Report.signed(high)})`,
    );
  }

  function tile(name) {
    return el(
      "div",
      { class: "tile" },
      el("h3", {}, wordsFor(name)),
      Report.shownRuns().map((run) => {
        const number = numberOf(run, name);
        return el(
          "div",
          { class: "reading" },
          Report.runCount() > 1
            ? el("span", { class: `letter run-${run}`, title: Report.runName(run) }, Report.letter(run))
            : null,
          el("span", { class: "figure" }, Report.percent(number?.value), el("small", {}, " %")),
          el("span", { class: "range" }, whisker(run, number, 88), el("small", {}, intervalText(number))),
        );
      }),
      verdict(name),
    );
  }

  function runHeads() {
    return runs().map((own, run) =>
      el(
        "th",
        { scope: "col" },
        el("span", { class: `letter run-${run}` }, Report.letter(run)),
        el("span", { class: "wide name", title: own.name }, ` ${own.name}`),
      ),
    );
  }

  function table(name, rows) {
    const head = runs().length > 1 ? el("thead", {}, el("tr", {}, el("td", {}), runHeads())) : null;
    return el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": name },
      el("table", {}, head, el("tbody", {}, rows)),
    );
  }

  function numbers() {
    const rows = names().map((name) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, wordsFor(name)),
        runs().map((_, run) => {
          const number = numberOf(run, name);
          const parts = [
            el("span", { class: "number" }, Report.percent(number?.value, 2)),
            el("span", { class: "bounds" }, intervalText(number)),
            whisker(run, number),
          ];
          return el("td", {}, el("div", { class: "entry" }, parts));
        }),
      ),
    );
    return el(
      "section",
      { class: "panel numbers" },
      el("h2", {}, "All numbers"),
      table("All numbers", rows),
      el("p", { class: "note" }, "In percent, with 95 % intervals: bootstraps over the identities of the queries."),
    );
  }

  const LABELS = [
    ["Evaluator", (own) => own.evaluator],
    ["Protocol", (own) => own.protocol],
    ["Metric", (own) => own.metric],
    ["Flip", (own) => (own.flip ? "averaged with the mirror image" : "no")],
    ["Test-time options", (own) => own.postprocess?.join(", ") || "none"],
    ["Checkpoint", (own) => own.checkpoint || "none: an untrained model"],
    ["Weights", (own) => own.weights],
    ["Hash of the weights", (own) => own.model],
    ["Image size", (own) => own.size?.join(" × ")],
    ["Dimensions", (own) => own.dimensions],
    ["Precision", (own) => own.amp ?? "float32"],
    ["Library", (own) => own.library],
    ["Images left out", (own) => own.leftOut || null],
    [
      "Without a true match",
      (_, run) => (run.withoutMatch ? Report.plural(run.withoutMatch, "query", "queries") : "none"),
    ],
  ];

  function judged() {
    const rows = LABELS.map(([name, value]) => [name, runs().map((run) => value(run.judged, run))]).filter(
      ([, values]) => values.some((value) => value !== null && value !== undefined),
    );
    const lines = rows.map(([name, values]) => {
      const differs = new Set(values.map(String)).size > 1;
      return el(
        "tr",
        { class: differs ? "differs" : null },
        el("th", { scope: "row" }, name),
        values.map((value) => el("td", {}, value ?? "–")),
      );
    });
    return el(
      "section",
      { class: "panel judged" },
      el("h2", {}, "What was judged"),
      table("What was judged", lines),
      unmatched(),
    );
  }

  /** Say in a line what the numbers are of. */
  function judgedLine() {
    const line = (name, value) => {
      const values = [...new Set(runs().map((run) => value(run.judged)))];
      return [el("dt", {}, name), el("dd", {}, values.join(" / "))];
    };
    return el(
      "dl",
      { class: "line" },
      line("Protocol", (own) => own.protocol),
      line("Metric", (own) => own.metric),
      line("Flip", (own) => (own.flip ? "yes" : "no")),
      line("Test-time options", (own) => own.postprocess?.join(", ") || "none"),
      line("Model", (own) => own.model.slice(0, 10)),
    );
  }

  function unmatched() {
    const [first] = runs();
    if (!first.unmatched.length) return null;
    const rest = first.withoutMatch - first.unmatched.length;
    return el(
      "details",
      {},
      el(
        "summary",
        {},
        `${Report.plural(first.withoutMatch, "query has", "queries have")} no true match, and no rates`,
      ),
      el(
        "ul",
        { class: "paths" },
        first.unmatched.map((path) => el("li", {}, path)),
        rest > 0 ? el("li", {}, `and ${Report.count(rest)} more`) : null,
      ),
    );
  }

  function notes() {
    const { counts } = Report.meta();
    const found = [...Report.meta().notes];
    if (counts.shown < counts.queries) {
      const [shown, all] = [counts.shown, counts.queries].map(Report.count);
      found.push(`Here are the ${shown} queries that ${Report.runName(0)} ranks worst; the numbers are of all ${all}.`);
    }
    if (counts.broken) {
      found.push(`${Report.plural(counts.broken, "image")} could not be read; a crossed-out box stands for each.`);
    }
    return found.map((text) => el("p", { class: "note" }, text));
  }

  function draw() {
    const shown = TILES.filter((name) => numberOf(0, name));
    Report.byId("view-overview").replaceChildren(
      el("h2", { class: "hidden" }, "Overview"),
      judgedLine(),
      ...notes(),
      el("div", { class: "tiles" }, shown.map(tile)),
      el("div", { class: "charts" }, [...Report.plots(), Report.heatmap()].filter(Boolean)),
      numbers(),
      judged(),
    );
  }

  Report.startOverview = () => {
    draw();
    Report.listen((state, before) => {
      if (state.versus !== before.versus) draw();
    });
  };
})();
