"use strict";

// Load what the first screen needs, then put the views together.
(() => {
  const { el, byId } = Report;
  const VIEWS = { overview: "Overview", queries: "Queries", suspects: "Label suspects" };

  const dark = matchMedia("(prefers-color-scheme: dark)");

  function showTheme() {
    const wanted = Report.state().theme || (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = wanted;
    byId("theme").textContent = wanted === "dark" ? "☀" : "☾";
  }

  function switchTheme() {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    Report.set({ theme: next === (dark.matches ? "dark" : "light") ? "" : next });
  }

  function tabs() {
    const found = Report.meta().suspects;
    const shown = Object.entries(VIEWS).filter(([view]) => view !== "suspects" || found);
    byId("views").replaceChildren(
      ...shown.map(([view, name]) =>
        el(
          "a",
          {
            href: Report.link({ view }),
            "data-view": view,
            onclick: (event) => {
              event.preventDefault();
              Report.show(view);
            },
          },
          name,
          view === "suspects" && found.total ? el("small", {}, ` ${Report.count(found.total)}`) : null,
        ),
      ),
    );
  }

  function showView() {
    const { view } = Report.state();
    document.body.dataset.view = view;
    for (const name of Object.keys(VIEWS)) byId(`view-${name}`).hidden = name !== view;
    for (const link of byId("views").children) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** Go to a view. */
  Report.show = (view) => {
    if (!byId("views").querySelector(`[data-view="${view}"]`)) return;
    Report.set({ view }, { step: true });
    scrollTo(0, 0);
  };

  function title() {
    const { dataset, counts, runs } = Report.meta();
    byId("title").textContent = dataset.label;
    document.title = `${dataset.label}: ${runs.map((run) => run.name).join(", ")}`;
    const parts = [
      Report.plural(counts.queries, "query", "queries"),
      Report.plural(counts.gallery, "gallery image"),
      Report.plural(counts.identities, "identity", "identities"),
      ...(counts.cameras ? [Report.plural(counts.cameras, "camera")] : []),
    ];
    byId("subtitle").replaceChildren(
      parts.join(", "),
      ...runs.map((run, number) =>
        el(
          "span",
          { class: "run" },
          runs.length > 1 ? el("span", { class: `letter run-${number}` }, Report.letter(number)) : "",
          el("span", { class: "name", title: run.name }, ` ${run.name}`),
        ),
      ),
    );
  }

  async function start() {
    Report.startState();
    showTheme();
    const meta = await Report.need("meta");
    const numbers = meta.runs.map((_, run) => run);
    const [images, ...queries] = await Promise.all(
      ["images", ...numbers.map((run) => `queries-${run}`)].map(Report.need),
    );
    Report.startImages(meta, images);
    Report.startRuns(meta, queries);
    if (meta.maps)
      await Promise.all(numbers.map(async (run) => Report.startMaps(run, await Report.need(`maps-${run}`))));
    title();
    tabs();
    showView();
    Report.startPair();
    Report.startFilterForm();
    Report.startList();
    Report.startDetail();
    Report.startOverview();
    Report.startSuspects();
    Report.startKeys();
    Report.listen((state, before) => {
      showTheme();
      if (state.view !== before.view) showView();
    });
    byId("theme").addEventListener("click", switchTheme);
    dark.addEventListener("change", showTheme);
    document.documentElement.dataset.ready = "true";
  }

  addEventListener("error", (event) => Report.complain(event.error ?? event.message));
  addEventListener("unhandledrejection", (event) => Report.complain(event.reason));
  start().catch(Report.complain);
})();
