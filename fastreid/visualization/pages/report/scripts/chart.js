"use strict";

// A small chart: lines or steps over one axis, with a read-out of the values at the pointer, the finger or the keys.
(() => {
  const { el, svg } = Report;
  const MARGIN = { top: 10, right: 14, bottom: 38, left: 46 };
  const HEIGHT = 250;

  /** Return round numbers between two, about so many. */
  function ticks(low, high, about) {
    const rough = (high - low) / Math.max(1, about);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
    const first = Math.ceil(low / step - 1e-9);
    const count = Math.floor(high / step + 1e-9) - first + 1;
    return Array.from({ length: count }, (_, number) => Number(((first + number) * step).toPrecision(12)));
  }

  function decades(low, high) {
    const first = Math.ceil(Math.log10(low) - 1e-9);
    const last = Math.floor(Math.log10(high) + 1e-9);
    const whole = Array.from({ length: Math.max(0, last - first + 1) }, (_, number) => 10 ** (first + number));
    if (whole.length > 2) return whole;
    return [0.5 * whole[0], ...whole]
      .flatMap((power, place) => (place ? [power, 2 * power, 5 * power] : [0.2 * whole[0], power]))
      .filter((value) => value >= low && value <= high);
  }

  /** Return a function from values to pixels. */
  function scale(low, high, from, to, log) {
    const [start, end] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
    return (value) =>
      from + (((log ? Math.log10(Math.max(value, low)) : value) - start) / (end - start || 1)) * (to - from);
  }

  function path(line, x, y) {
    let text = "";
    line.x.forEach((value, place) => {
      const [h, v] = [x(value).toFixed(1), y(line.y[place]).toFixed(1)];
      if (!place) text += `M${h} ${v}`;
      else text += line.steps ? `H${h}V${v}` : `L${h} ${v}`;
    });
    return text;
  }

  function axes(spec, x, y, width) {
    const bottom = HEIGHT - MARGIN.bottom;
    const xs = spec.x.log ? decades(spec.x.low, spec.x.high) : ticks(spec.x.low, spec.x.high, width / 90);
    const ys = spec.y.ticks === false ? [] : ticks(spec.y.low, spec.y.high, 5);
    return [
      ys.map((value) =>
        svg("line", { class: "gridline", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
      ),
      ys.map((value) =>
        svg("text", { class: "tick", x: MARGIN.left - 7, y: y(value) + 4, "text-anchor": "end" }, spec.y.text(value)),
      ),
      xs.map((value) => svg("line", { class: "gridline", x1: x(value), x2: x(value), y1: MARGIN.top, y2: bottom })),
      xs.map((value) =>
        svg("text", { class: "tick", x: x(value), y: bottom + 16, "text-anchor": "middle" }, spec.x.text(value)),
      ),
      svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }),
      svg(
        "text",
        { class: "name", x: (MARGIN.left + width - MARGIN.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" },
        spec.x.name,
      ),
      svg(
        "text",
        {
          class: "name",
          x: 12,
          y: (MARGIN.top + bottom) / 2,
          "text-anchor": "middle",
          transform: `rotate(-90 12 ${(MARGIN.top + bottom) / 2})`,
        },
        spec.y.name,
      ),
    ];
  }

  /** Return which value of a line belongs to a place of the axis: the last one that is not beyond it. */
  function valueAt(line, place) {
    let found = 0;
    while (found + 1 < line.x.length && line.x[found + 1] <= place * (1 + 1e-9)) found += 1;
    return line.x.length && line.x[0] <= place * (1 + 1e-9) ? line.y[found] : NaN;
  }

  function legend(spec) {
    if (spec.lines.length < 2 && !spec.marks?.length) return null;
    const entry = (line) =>
      el(
        "li",
        {},
        svg(
          "svg",
          { width: 26, height: 10, "aria-hidden": "true" },
          svg("line", { class: `line ${line.style}`, x1: 1, x2: 25, y1: 5, y2: 5 }),
        ),
        line.name,
      );
    return el("ul", { class: "keys" }, [...spec.lines, ...(spec.marks ?? [])].map(entry));
  }

  function table(spec) {
    const details = el("details", { class: "values" }, el("summary", {}, "As a table"));
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector("table")) return;
      const rows = spec.stops.map((stop) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, spec.x.long(stop)),
          spec.lines.map((line) => el("td", {}, spec.y.long(valueAt(line, stop)))),
        ),
      );
      details.append(
        el(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": `${spec.title}, as a table` },
          el(
            "table",
            {},
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                el("th", { scope: "col" }, spec.x.name),
                spec.lines.map((line) => el("th", { scope: "col" }, line.name)),
              ),
            ),
            el("tbody", {}, rows),
          ),
        ),
      );
    });
    return details;
  }

  /**
   * Make a chart.
   *   title, note: texts.
   *   x, y: { name, low, high, log, text(value), long(value) } of an axis; long is for the read-out.
   *   lines: { name, style, x, y, steps, area }; styles are classes.
   *   marks: { name, style, x }: vertical lines.
   *   stops: values of x at which the read-out stops, in rising order.
   *   pick(stop): what a click does, if anything; pickWords says so.
   */
  Report.chart = (spec) => {
    const readout = el("p", { class: "readout", "aria-live": "polite" });
    const host = el("div", {
      class: "plot",
      tabindex: 0,
      role: "group",
      "aria-label": `${spec.title}: chart; the left and right arrow keys read values`,
    });
    let width = 0;
    let at = null; // number of a stop
    let x, y, cursor;

    function draw() {
      x = scale(spec.x.low, spec.x.high, MARGIN.left, width - MARGIN.right, spec.x.log);
      y = scale(spec.y.low, spec.y.high, HEIGHT - MARGIN.bottom, MARGIN.top, false);
      cursor = svg("g", { class: "cursor" });
      const base = HEIGHT - MARGIN.bottom;
      const inside = (mark) => mark.x >= spec.x.low && mark.x <= spec.x.high;
      host.replaceChildren(
        svg(
          "svg",
          { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
          axes(spec, x, y, width),
          spec.lines.map((line) =>
            line.area && line.x.length
              ? svg("path", { class: `area ${line.style}`, d: `${path(line, x, y)}V${base}H${x(line.x[0])}Z` })
              : null,
          ),
          spec.lines.map((line) => svg("path", { class: `line ${line.style}`, d: path(line, x, y) })),
          (spec.marks ?? [])
            .filter(inside)
            .map((mark) =>
              svg("line", { class: `line ${mark.style}`, x1: x(mark.x), x2: x(mark.x), y1: MARGIN.top, y2: base }),
            ),
          cursor,
        ),
      );
      read();
    }

    function read() {
      if (at === null) {
        cursor.replaceChildren();
        readout.replaceChildren(spec.hint ?? "Point at the chart to read values.");
        readout.classList.add("idle");
        return;
      }
      const stop = spec.stops[at];
      readout.classList.remove("idle");
      readout.replaceChildren(
        el("span", { class: "stop" }, spec.x.long(stop)),
        ...spec.lines.map((line) =>
          el(
            "span",
            { class: "value" },
            el("i", { class: `dot ${line.style}` }),
            `${spec.lines.length > 1 ? `${line.name} ` : ""}${spec.y.long(valueAt(line, stop))}`,
          ),
        ),
      );
      cursor.replaceChildren(
        svg("line", { x1: x(stop), x2: x(stop), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
        ...spec.lines
          .filter((line) => !Number.isNaN(valueAt(line, stop)))
          .map((line) => svg("circle", { class: line.style, cx: x(stop), cy: y(valueAt(line, stop)), r: 3.5 })),
      );
    }

    function nearest(event) {
      const place = event.clientX - host.getBoundingClientRect().left;
      let best = 0;
      spec.stops.forEach((stop, number) => {
        if (Math.abs(x(stop) - place) < Math.abs(x(spec.stops[best]) - place)) best = number;
      });
      return best;
    }

    function go(number) {
      at = number === null ? null : Math.max(0, Math.min(spec.stops.length - 1, number));
      read();
    }

    host.addEventListener("pointermove", (event) => go(nearest(event)));
    host.addEventListener("pointerdown", (event) => go(nearest(event)));
    host.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && go(null));
    host.addEventListener("blur", () => go(null));
    host.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (steps) {
        event.preventDefault();
        go(at === null ? (steps > 0 ? 0 : spec.stops.length - 1) : at + steps);
      } else if (event.key === "Escape" && at !== null) {
        event.stopPropagation();
        go(null);
      } else if (event.key === "Enter" && at !== null) {
        event.stopPropagation();
        spec.pick?.(spec.stops[at]);
      }
    });
    if (spec.pick) host.addEventListener("click", (event) => spec.pick(spec.stops[nearest(event)]));
    new ResizeObserver(() => {
      const own = Math.floor(host.clientWidth);
      if (own && own !== width) {
        width = own;
        draw();
      }
    }).observe(host);
    return el(
      "figure",
      { class: `chart${spec.pick ? " clickable" : ""}` },
      el("figcaption", {}, el("h3", {}, spec.title), spec.note ? el("p", { class: "note" }, spec.note) : null),
      legend(spec),
      host,
      readout,
      table(spec),
    );
  };
})();
