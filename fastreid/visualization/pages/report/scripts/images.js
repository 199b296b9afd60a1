"use strict";

// Images of the report: labels, paths, and thumbnails, which are cells of sheets.
(() => {
  const LONGER = 128; // pixels of the longer side of a thumbnail on the page

  let layout, images;
  const maps = []; // of each run: image -> cell

  Report.startImages = (meta, payload) => {
    layout = meta.layout;
    images = payload;
    const shown = LONGER / Math.max(layout.width, layout.height);
    document.documentElement.style.setProperty("--thumb-width", `${Math.round(layout.width * shown)}px`);
    document.documentElement.style.setProperty("--thumb-height", `${Math.round(layout.height * shown)}px`);
  };

  Report.startMaps = (run, payload) => {
    maps[run] = new Map(Array.from(payload.image, (image, cell) => [image, cell]));
  };

  /** Tell whether there is an activation map of an image by a run's model. */
  Report.hasMap = (run, image) => maps[run]?.has(image) ?? false;

  Report.queryImage = (query) => images.queries[query];
  Report.queryCount = () => images.queries.length;
  Report.identityOf = (image) => images.identities[images.identity[image]];
  Report.cameraOf = (image) => images.cameras[images.camera[image]];
  Report.cameraCode = (image) => images.camera[image];
  Report.identityCode = (image) => images.identity[image];
  Report.cameraNames = () => images.cameras;
  Report.identityNames = () => images.identities;
  Report.splitOf = (image) => images.splits[images.split[image]];

  /** Return a promise of an image's path. */
  Report.pathOf = async (image) => {
    const own = await Report.need(`paths-${Math.floor(image / layout.pathChunk)}`);
    const place = image % layout.pathChunk;
    const folder = own.folders[own.folder[place]];
    return folder ? `${folder.replace(/\/$/, "")}/${own.names[place]}` : own.names[place];
  };

  /** Make an element that shows an image's path once it is known; where there is little room, the name of the file. */
  Report.pathElement = (tag, image) => {
    const place = Report.el(tag, { class: "path" }, "…");
    const show = (path) => {
      const cut = path.lastIndexOf("/") + 1;
      place.replaceChildren(Report.el("span", { class: "folder" }, path.slice(0, cut)), path.slice(cut));
    };
    Report.pathOf(image).then(show, Report.complain);
    return place;
  };

  /** Call a camera something that is more than a number. */
  Report.cameraWords = (camera, word = "camera") => (/^\d+$/.test(camera) ? `${word} ${camera}` : camera);

  /** Say in words what is known of an image. */
  Report.labelsOf = (image) => {
    const camera = Report.cameraOf(image);
    return `identity ${Report.identityOf(image)}${camera ? `, ${Report.cameraWords(camera)}` : ""}`;
  };

  /**
   * Make a thumbnail.
   *   scale: of its usual size.
   *   label: what it is, for those who do not see it; "": something beside it says so.
   *   run: show the activation map of that run's model, if there is one.
   */
  Report.thumb = (image, { scale = 1, label = "", run = null } = {}) => {
    const asMap = run !== null && Report.hasMap(run, image);
    const cell = asMap ? maps[run].get(image) : image;
    const number = Math.floor(cell / (layout.columns * layout.rows));
    const place = cell % (layout.columns * layout.rows);
    const file = `${String(number).padStart(4, "0")}.jpg`;
    return Report.el("div", {
      class: "thumb",
      role: label ? "img" : null,
      "aria-label": label || null,
      "aria-hidden": label ? null : "true",
      style: {
        "--scale": scale,
        "--column": place % layout.columns,
        "--row": Math.floor(place / layout.columns),
        "--columns": layout.columns,
        "--rows": layout.rows,
        "background-image": `url("${asMap ? `maps/${run}` : "sheets"}/${file}")`,
      },
    });
  };
})();
