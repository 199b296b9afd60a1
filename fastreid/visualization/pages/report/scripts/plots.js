"use strict";

// The charts of the overview: what is drawn in each.
(() => {
  const BARS = 20; // of the histogram of AP

  const percentAxis = (name) => ({
    name,
    low: 0,
    high: 100,
    text: (value) => String(value),
    long: (value) => (Number.isNaN(value) ? "–" : `${Report.percent(value)} %`),
  });

  const curvesOf = (run) => Report.meta().runs[run].curves;
  const all = () => Report.meta().runs.map((_, run) => run);
  const named = (run) =>
    Report.runCount() > 1 ? `${Report.letter(run)}: ${Report.runName(run)}` : Report.runName(run);

  /** Return the values of all lines, each once, in rising order. */
  function stopsOf(lines) {
    return [...new Set(lines.flatMap((line) => Array.from(line.x)))].sort((one, two) => one - two);
  }

  function rates(key, title, note, xName, yName) {
    const lines = all()
      .filter((run) => curvesOf(run)[key]?.x.length)
      .map((run) => ({ name: named(run), style: `run-${run}`, steps: true, ...curvesOf(run)[key] }));
    if (!lines.length) return null;
    const stops = stopsOf(lines);
    const low = stops[0] < 100 ? stops[0] : 1;
    return Report.chart({
      title,
      note,
      x: {
        name: xName,
        low,
        high: 100,
        log: true,
        text: Report.rate,
        long: (value) => `${xName.split(",")[0]} ${Report.rate(value)} %`,
      },
      y: percentAxis(yName),
      lines,
      stops,
    });
  }

  function firstSplit() {
    return all().some((run) => curvesOf(run).ofFirstSplit) ? " Of the first of the drawn galleries." : "";
  }

  function roc() {
    const note = "Share of genuine pairs above the threshold, over the share of impostor pairs above it.";
    return rates("roc", "ROC", note + firstSplit(), "FPR, %", "TPR, %");
  }

  function identification() {
    const note =
      "Queries whose own identity comes first and above the threshold, over false alarms of queries that are not in " +
      "the gallery.";
    return rates("dir", "Open-set identification", note + firstSplit(), "FAR, %", "DIR, %");
  }

  function cmc() {
    const lines = all()
      .filter((run) => curvesOf(run).cmc.length)
      .map((run) => ({
        name: named(run),
        style: `run-${run}`,
        x: curvesOf(run).cmc.map((_, place) => place + 1),
        y: curvesOf(run).cmc,
      }));
    if (!lines.length) return null;
    const lowest = Math.min(...lines.map((line) => line.y[0]));
    return Report.chart({
      title: "CMC",
      note: "Share of queries with a true match among the first k images.",
      x: {
        name: "k",
        low: 1,
        high: Math.max(...lines.map((line) => line.x.length)),
        text: String,
        long: (value) => `Rank-${value}`,
      },
      y: { ...percentAxis("queries, %"), low: Math.max(0, Math.min(90, Math.floor(lowest / 10) * 10)) },
      lines,
      stops: stopsOf(lines),
    });
  }

  /** Return shares of pairs per bar of equal width, so that histograms with other bars compare. */
  function densities(histogram, kind) {
    const total = histogram[kind].reduce((sum, count) => sum + count, 0) || 1;
    const { edges } = histogram;
    const density = histogram[kind].map((count, bar) => count / total / (edges[bar + 1] - edges[bar]));
    return { x: edges, y: [...density, 0] };
  }

  function distributions() {
    const runs = all().filter((run) => curvesOf(run).histogram?.edges.length);
    if (!runs.length) return null;
    const letter = (run) => (Report.runCount() > 1 ? `${Report.letter(run)} ` : "");
    const lines = runs.flatMap((run) =>
      ["genuine", "impostor"].map((kind) => ({
        name: `${letter(run)}${kind}`,
        style: `${kind} dash-${run}`,
        steps: true,
        area: true,
        ...densities(curvesOf(run).histogram, kind),
      })),
    );
    const marks = runs
      .filter((run) => Number.isFinite(curvesOf(run).threshold?.threshold))
      .map((run) => {
        const own = curvesOf(run).threshold;
        const rate = `${own.kind.toUpperCase()} ${Report.rate(100 * own.value)} %`;
        return {
          name: `${letter(run)}threshold ${Report.score(own.threshold)}, ${rate}`,
          style: `threshold dash-${run}`,
          x: own.threshold,
        };
      });
    const edges = lines.flatMap((line) => line.x);
    const [low, high] = [Math.min(...edges), Math.max(...edges)];
    return Report.chart({
      title: "Scores of pairs",
      note: `How often a score occurs among genuine and among impostor pairs, each with the same area.${firstSplit()}`,
      x: {
        name: "score",
        low,
        high,
        text: (value) => String(value).replace("-", "−"),
        long: (value) => `score ${Report.score(value)}`,
      },
      y: {
        name: "density",
        low: 0,
        high: 1.05 * Math.max(...lines.flatMap((line) => line.y)),
        ticks: false,
        long: (value) => Report.score(value),
      },
      lines,
      marks,
      stops: stopsOf(lines),
    });
  }

  function precisions() {
    const width = 100 / BARS;
    const edges = Array.from({ length: BARS + 1 }, (_, bar) => bar * width);
    const lines = all().map((run) => {
      const counts = new Array(BARS + 1).fill(0);
      for (let query = 0; query < Report.queryCount(); query += 1) {
        const value = Report.precision(run, query);
        if (!Number.isNaN(value)) counts[Math.min(BARS - 1, Math.floor(value / width))] += 1;
      }
      return { name: named(run), style: `run-${run}`, steps: true, area: true, x: edges, y: counts };
    });
    return Report.chart({
      title: "Average precision of the queries",
      note: "Click to see the queries of a bar.",
      x: { name: "AP, %", low: 0, high: 100, text: String, long: (value) => `AP ${value} to ${value + width} %` },
      y: {
        name: "queries",
        low: 0,
        high: 1.05 * Math.max(1, ...lines.flatMap((line) => line.y)),
        text: Report.count,
        long: (value) => Report.plural(value, "query", "queries"),
      },
      lines,
      stops: edges.slice(0, -1),
      pick: (stop) => {
        const bounds = { min: String(stop), max: stop + width === 100 ? "" : String(stop + width - 0.0001) };
        Report.clearFilters();
        Report.set({ view: "queries", range: "ap", sort: "ap", desc: "", q: "", ...bounds }, { step: true });
      },
    });
  }

  /** Return the charts that there are data for. */
  Report.plots = () => [precisions(), cmc(), roc(), distributions(), identification()].filter(Boolean);
})();
