"use strict";

// Images with a frame that says what they are: colour, line and sign say the same.
(() => {
  const { el } = Report;

  const KINDS = [
    { name: "other", sign: "✗", words: "another identity" },
    { name: "match", sign: "✓", words: "true match" },
    { name: "junk", sign: "–", words: "left out" },
  ];
  const QUERY = { name: "query", sign: "", words: "query" };
  const PLAIN = { name: "plain", sign: "", words: "" };

  Report.kindOf = (kind) => KINDS[kind];

  /** Make a framed thumbnail; a kind of null is a query, "plain" says nothing. */
  Report.framed = (image, kind, options = {}) => {
    const own = kind === null ? QUERY : kind === "plain" ? PLAIN : KINDS[kind];
    return el(
      "span",
      { class: `frame ${own.name}` },
      Report.thumb(image, options),
      own.sign ? el("span", { class: "sign", "aria-hidden": "true" }, own.sign) : null,
      options.letter === undefined || options.letter === null
        ? null
        : el("span", { class: `letter run-${options.letter}`, "aria-hidden": "true" }, Report.letter(options.letter)),
    );
  };

  /** Say in words what a card is. */
  function words(item, run) {
    const { words: kind } = KINDS[item.kind];
    const rank = item.rank ? `rank ${item.rank}` : "no rank";
    const whose = run === null ? "" : `run ${Report.letter(run)}, `;
    return `${whose}${rank}, ${kind}, score ${Report.score(item.score)}, ${Report.labelsOf(item.image)}`;
  }

  /**
   * Make the card of an image in a list; it opens the image beside the query.
   *   run: whose list it is in, if several are shown; null: one alone.
   *   maps: the run whose activation map is shown; null: none.
   *   rank: text in place of the rank.
   */
  Report.card = (item, { run = null, maps = null, rank = null, open }) => {
    const camera = Report.cameraOf(item.image);
    const card = el(
      "button",
      {
        type: "button",
        class: `card ${KINDS[item.kind].name}`,
        "data-image": item.image,
        "aria-label": words(item, run),
        onclick: open,
      },
      Report.framed(item.image, item.kind, { run: maps, letter: run }),
      el(
        "span",
        { class: "caption" },
        el(
          "span",
          { class: "first" },
          el("b", {}, rank ?? (item.rank ? `#${Report.count(item.rank)}` : "–")),
          el("span", {}, Report.score(item.score)),
        ),
        el("span", { class: "second" }, Report.identityOf(item.image)),
        camera ? el("span", { class: "second" }, Report.cameraWords(camera, "cam")) : null,
      ),
    );
    Report.pathOf(item.image).then((path) => card.setAttribute("title", path), Report.complain);
    return card;
  };

  /** Make the legend of the frames. */
  Report.legend = (withJunk) =>
    el(
      "ul",
      { class: "legend", "aria-label": "What the frames mean" },
      [QUERY, KINDS[1], KINDS[0], ...(withJunk ? [KINDS[2]] : [])].map((kind) =>
        el(
          "li",
          {},
          el("span", { class: `swatch ${kind.name}`, "aria-hidden": "true" }, kind.sign),
          kind === KINDS[2] ? "left out: same identity, same camera" : kind.words,
        ),
      ),
    );

  /** Show where else an image is, while one points at it. */
  Report.markSame = (host) => {
    const mark = (event) => {
      const image = event.target.closest?.("[data-image]")?.dataset.image;
      const shown = event.type === "pointerover" || event.type === "focusin";
      for (const card of host.querySelectorAll(".card")) {
        card.classList.toggle("same", shown && image !== undefined && card.dataset.image === image);
      }
    };
    for (const type of ["pointerover", "pointerleave", "focusin", "focusout"]) host.addEventListener(type, mark);
  };
})();
