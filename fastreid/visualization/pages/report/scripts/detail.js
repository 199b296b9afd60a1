"use strict";

// The open query: its labels, its rank lists, its true matches.
(() => {
  const { el, byId } = Report;
  let drawn = 0; // counts what was asked for, so that a late answer is not shown

  /** Return the run if its maps are shown with a query, or null: maps are wanted, and made for this query. */
  function mapsOf(run, query) {
    return Report.state().maps === "1" && Report.hasMap(run, Report.queryImage(query)) ? run : null;
  }

  /** Put lists side by side: columns of one item for each run, of one rank or all left out; null: none there. */
  function align(lists) {
    const at = lists.map(() => 0);
    const columns = [];
    const next = (run) => lists[run][at[run]];
    const take = (run) => lists[run][at[run]++];
    while (lists.some((_, run) => next(run))) {
      const junk = lists.map((_, run) => next(run)?.kind === Report.JUNK);
      columns.push(lists.map((_, run) => (next(run) && (junk.includes(true) ? junk[run] : true) ? take(run) : null)));
    }
    return columns;
  }

  function showsJunk(runs) {
    return Report.state().junk === "" ? runs.length === 1 : Report.state().junk === "1";
  }

  function stepsOf(query, items, run, title) {
    return items.map((item) => ({
      title: title(item),
      figures: [
        { image: Report.queryImage(query), kind: null, maps: mapsOf(run, query) },
        {
          image: item.image,
          kind: item.kind,
          maps: mapsOf(run, query),
          facts: [
            ["Is", Report.kindOf(item.kind).words],
            ["Rank", item.rank ? Report.count(item.rank) : "none"],
            ["Score", Report.score(item.score)],
          ],
        },
      ],
    }));
  }

  function inRun(run, runs) {
    return runs.length > 1 ? ` in ${Report.letter(run)}` : "";
  }

  function rankList(query, lists, runs) {
    const shown = lists.map((list) => list.items.filter((item) => showsJunk(runs) || item.kind !== Report.JUNK));
    const steps = shown.map((items, place) =>
      stepsOf(
        query,
        items,
        runs[place],
        (item) => (item.rank ? `Rank ${item.rank}` : "Left out") + inRun(runs[place], runs),
      ),
    );
    const card = (item, place) => {
      if (item === null) return el("span", { class: "card none", "aria-hidden": "true" });
      const run = runs[place];
      const open = () => Report.openPair(steps[place], shown[place].indexOf(item));
      return Report.card(item, { run: runs.length > 1 ? run : null, maps: mapsOf(run, query), open });
    };
    return el(
      "ol",
      { class: `cards${runs.length > 1 ? " aligned" : ""}` },
      align(shown).map((column) => el("li", {}, column.map(card))),
    );
  }

  function matchList(query, lists, runs) {
    const total = Report.table(0).matches[query];
    if (!total) return el("p", { class: "note" }, "No true match: nothing of this identity counts in the gallery.");
    const ranks = runs.map((_, place) => new Map(lists[place].matches.map((item) => [item.image, item.rank])));
    const { matches } = lists[0];
    const steps = stepsOf(
      query,
      matches,
      runs[0],
      (item) => `True match, rank ${Report.count(item.rank)}${inRun(runs[0], runs)}`,
    );
    const cards = matches.map((item, place) => {
      const all = ranks.map((own) => (own.has(item.image) ? Report.count(own.get(item.image)) : "?"));
      const open = () => Report.openPair(steps, place);
      return el("li", {}, Report.card(item, { maps: mapsOf(runs[0], query), rank: `#${all.join(" → ")}`, open }));
    });
    const rest = total > matches.length ? `The best ${matches.length} of ${Report.count(total)} are shown. ` : "";
    const order = runs.length > 1 ? `Ranks in A → ${Report.letter(runs[1])}, scores and order of A.` : "";
    return [rest + order ? el("p", { class: "note" }, rest + order) : null, el("ol", { class: "cards" }, cards)];
  }

  function accepted(run, items) {
    const threshold = Report.meta().runs[run].curves.threshold?.threshold ?? null;
    if (threshold === null) return null;
    const kept = items.filter((item) => item.kind !== Report.JUNK && item.score >= threshold);
    const right = kept.filter((item) => item.kind === Report.MATCH).length;
    const more = items.at(-1)?.score >= threshold ? " or more" : "";
    return kept.length ? `${kept.length}${more}, ${right} right` : "none";
  }

  function byCamera(run, query) {
    const view = Report.viewOf(Report.state());
    return view.camera === null ? null : `${Report.percent(view.precision(run, query))} %`;
  }

  function facts(query, lists, runs) {
    const number = (run) => Report.table(run);
    const rows = [
      ["Average precision", (run) => `${Report.percent(Report.precision(run, query))} %`],
      [`AP by ${Report.cameraWords(Report.state().pair)} alone`, (run) => byCamera(run, query)],
      ["Best match at rank", (run) => (number(run).best[query] ? Report.count(number(run).best[query]) : "none")],
      ["True matches", (run) => Report.count(number(run).matches[query])],
      ["First image scores", (run) => Report.score(number(run).top[query])],
      ["Best true match scores", (run) => Report.score(number(run).match[query])],
      ["Nearest other identity scores", (run) => Report.score(number(run).other[query])],
      ["Above the threshold", (run) => accepted(run, lists[runs.indexOf(run)].items)],
    ];
    const head = el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("td", {}),
        runs.map((run) => el("th", { scope: "col" }, runTitle(run))),
      ),
    );
    const body = rows
      .map(([name, value]) => [name, runs.map(value)])
      .filter(([, values]) => values.some((value) => value !== null))
      .map(([name, values]) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, name),
          values.map((text) => el("td", {}, text ?? "–")),
        ),
      );
    return el("table", { class: "facts" }, runs.length > 1 ? head : null, el("tbody", {}, body));
  }

  function runTitle(run) {
    return [
      el("span", { class: `letter run-${run}` }, Report.letter(run)),
      el("span", { class: "wide name", title: Report.runName(run) }, ` ${Report.runName(run)}`),
    ];
  }

  function queryPicture(query, runs) {
    const image = Report.queryImage(query);
    const shown = mapsOf(runs[0], query) !== null && runs.length > 1 ? runs : [runs[0]];
    return el(
      "div",
      { class: "asked" },
      shown.map((run) =>
        Report.framed(image, null, { scale: 1.25, label: `query, ${Report.labelsOf(image)}`, run: mapsOf(run, query) }),
      ),
    );
  }

  function toggle(key, on, text, explain) {
    const set = () => Report.set({ [key]: on ? "0" : "1" });
    const attributes = {
      type: "button",
      class: "toggle",
      "data-keep": key,
      "aria-pressed": String(on),
      title: explain,
    };
    return el("button", { ...attributes, onclick: set }, text);
  }

  function bar(query) {
    const [place, all] = Report.placeInList();
    const where = place < 0 ? "not in the filtered list" : `${Report.count(place + 1)} of ${Report.count(all)}`;
    const step = (by, text, label) =>
      el(
        "button",
        {
          type: "button",
          class: "quiet",
          "aria-label": label,
          "data-keep": `move${by}`,
          onclick: () => Report.moveBy(by),
        },
        text,
      );
    return el(
      "header",
      { class: "bar-top" },
      el(
        "button",
        {
          type: "button",
          class: "quiet",
          id: "close",
          "data-keep": "close",
          onclick: Report.closeQuery,
          "aria-label": "Close the query",
        },
        "✕",
      ),
      el("h2", {}, `Query ${Report.count(query + 1)}`, el("small", {}, ` ${where}`)),
      el("div", { class: "moves" }, step(-1, "↑", "Previous query"), step(1, "↓", "Next query")),
    );
  }

  function head(query, lists, runs) {
    const image = Report.queryImage(query);
    const camera = Report.cameraOf(image);
    const own = el(
      "button",
      {
        type: "button",
        class: "link",
        title: "List the queries of this identity",
        onclick: () => Report.set({ id: Report.identityOf(image) }),
      },
      Report.identityOf(image),
    );
    return el(
      "div",
      { class: "summary" },
      queryPicture(query, runs),
      el(
        "div",
        { class: "about" },
        el("p", { class: "labels" }, "Identity ", own, camera ? `, ${Report.cameraWords(camera)}` : ""),
        Report.pathElement("p", image),
      ),
      facts(query, lists, runs),
    );
  }

  function hasMaps(query, runs) {
    return runs.some((run) => Report.hasMap(run, Report.queryImage(query)));
  }

  function options(query, lists, runs) {
    const anyJunk = lists.some((list) => list.items.some((item) => item.kind === Report.JUNK));
    const anyMaps = Report.meta().maps;
    return el(
      "div",
      { class: "options" },
      Report.legend(anyJunk),
      anyJunk
        ? toggle(
            "junk",
            showsJunk(runs),
            "Show what is left out",
            "Images that the protocol leaves out, where they would stand",
          )
        : null,
      hasMaps(query, runs)
        ? toggle("maps", Report.state().maps === "1", "Activation maps", "Where the model looks (m)")
        : null,
      anyMaps && !hasMaps(query, runs)
        ? el(
            "p",
            { class: "note" },
            "No activation maps here: they were made for the ",
            Report.plural(anyMaps.queries, "worst query", "worst queries"),
            ".",
          )
        : null,
    );
  }

  async function draw(before) {
    const query = Report.openQuery();
    const pane = byId("detail");
    drawn += 1;
    const own = drawn;
    byId("view-queries").classList.toggle("opened", query !== null);
    byId("pick").hidden = query !== null;
    if (query === null) {
      pane.hidden = true;
      pane.replaceChildren();
      return;
    }
    const runs = Report.shownRuns();
    const lists = await Promise.all(runs.map((run) => Report.listOf(run, query)));
    if (own !== drawn) return;
    const many = Report.meta().layout.ranks;
    const kept = pane.contains(document.activeElement) ? document.activeElement.dataset.keep : undefined;
    pane.replaceChildren(
      bar(query),
      el(
        "div",
        { class: "body" },
        head(query, lists, runs),
        options(query, lists, runs),
        el("h3", {}, runs.length > 1 ? `The first ${many}, A above ${Report.letter(runs[1])}` : `The first ${many}`),
        rankList(query, lists, runs),
        el("h3", {}, "True matches"),
        matchList(query, lists, runs),
      ),
    );
    const wasHidden = pane.hidden;
    pane.hidden = false;
    if (before?.q !== Report.state().q) pane.scrollTop = 0;
    if (kept) pane.querySelector(`[data-keep="${kept}"]`)?.focus({ preventScroll: true });
    if (wasHidden && matchMedia("(max-width: 899px)").matches) pane.focus({ preventScroll: true });
  }

  Report.closeQuery = () => {
    if (Report.openQuery() === null) return;
    Report.set({ q: "" });
    Report.focusList();
  };

  Report.startDetail = () => {
    Report.markSame(byId("detail"));
    draw().catch(Report.complain);
    Report.listen((state, before) => {
      if (["q", "versus", "maps", "junk", "pair"].some((key) => state[key] !== before[key]))
        draw(before).catch(Report.complain);
      else if (state.view === "queries" && Report.openQuery() !== null) {
        const head = byId("detail").querySelector(".bar-top");
        if (head) head.replaceWith(bar(Report.openQuery()));
      }
    });
  };
})();
