"use strict";

// Small helpers to build elements and to write numbers. Texts become text nodes, never markup.
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "class") node.setAttribute("class", value);
      else if (name === "style") for (const [key, own] of Object.entries(value)) node.style.setProperty(key, own);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  /** Make an element: el("p", { class: "note" }, "text", otherElement). */
  Report.el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

  /** Make an SVG element. */
  Report.svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  /** Return the element with an id. */
  Report.byId = (id) => document.getElementById(id);

  const whole = new Intl.NumberFormat("en-US");
  Report.count = (number) => whole.format(number);

  /** Write percent with so many digits; a dash where there is no number. */
  Report.percent = (value, digits = 1) =>
    value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);

  Report.signed = (value, digits = 1) =>
    Number.isNaN(value) ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;

  /** Write a score: three digits behind the point, fewer where it is large. */
  Report.score = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const text = value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 3);
    return text.replace("-", "−");
  };

  /** Write a rate in percent as people read it: 0.01, 1, 35.5. */
  Report.rate = (value) => String(Number(value.toPrecision(value < 10 ? 2 : 3)));

  /** Return "1 query", "2 queries". */
  Report.plural = (number, one, many = `${one}s`) => `${Report.count(number)} ${number === 1 ? one : many}`;

  /** Make a function that runs at most once a frame. */
  Report.eachFrame = (work) => {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        work();
      });
    };
  };
})();
