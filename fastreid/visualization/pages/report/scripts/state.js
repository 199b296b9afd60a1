"use strict";

// What is open, sorted and filtered. It lives in the hash of the address, so that reload and back work.
(() => {
  const DEFAULTS = {
    view: "overview",
    sort: "ap",
    desc: "", // "1": falling
    id: "",
    cam: "",
    pair: "",
    range: "ap",
    min: "",
    max: "",
    wrong: "",
    unmatched: "",
    change: "",
    versus: "1",
    q: "", // number of the open query
    maps: "",
    junk: "", // "1": shown, "0": not; else shown where there is one run alone
    kind: "", // of suspects
    theme: "",
  };
  const FILTERS = ["id", "cam", "pair", "range", "min", "max", "wrong", "unmatched", "change"];
  const WAIT = 120; // milliseconds until the address follows
  const listeners = [];
  let state = { ...DEFAULTS };

  function read() {
    const [view, rest] = location.hash.slice(1).split("?");
    const found = { ...DEFAULTS };
    for (const [key, value] of new URLSearchParams(rest ?? "")) if (key in DEFAULTS) found[key] = value;
    if (["overview", "queries", "suspects"].includes(view)) found.view = view;
    return found;
  }

  function write(of) {
    const words = new URLSearchParams();
    for (const [key, value] of Object.entries(of)) if (key !== "view" && value !== DEFAULTS[key]) words.set(key, value);
    const text = words.toString();
    return `#${of.view}${text ? `?${text}` : ""}`;
  }

  function tell(before) {
    for (const listen of listeners) listen(state, before);
  }

  Report.state = () => state;

  let later = 0;

  /** Bring the address up to date; browsers refuse to do so many times a second. */
  function writeSoon() {
    clearTimeout(later);
    later = setTimeout(() => history.replaceState(null, "", write(state)), WAIT);
  }

  /** Change the state; { step: true } makes a step that the browser's back button undoes. */
  Report.set = (patch, { step = false } = {}) => {
    const before = state;
    state = { ...state, ...patch };
    if (write(state) === write(before)) return;
    if (step) {
      clearTimeout(later);
      history.replaceState(null, "", write(before));
      history.pushState(null, "", write(state));
    } else {
      writeSoon();
    }
    tell(before);
  };

  /** Call with (state, before) after each change. */
  Report.listen = (listener) => listeners.push(listener);

  Report.clearFilters = () => Report.set(Object.fromEntries(FILTERS.map((key) => [key, DEFAULTS[key]])));

  Report.isFiltered = () => FILTERS.some((key) => key !== "range" && state[key] !== DEFAULTS[key]);

  /** Return the address of another state. */
  Report.link = (patch) => write({ ...state, ...patch });

  Report.startState = () => {
    state = read();
    addEventListener("popstate", () => {
      clearTimeout(later);
      const before = state;
      state = read();
      tell(before);
    });
  };
})();
