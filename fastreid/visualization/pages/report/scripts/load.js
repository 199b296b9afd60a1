"use strict";

// The namespace of the page. A page that is opened from disk may not fetch files, so data comes as scripts: each calls
// Report.load(name, payload) with its own name.
const Report = {};

(() => {
  const TYPES = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
  const jobs = new Map(); // name -> { promise, resolve, reject }

  function job(name) {
    if (!jobs.has(name)) {
      const made = {};
      made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
      jobs.set(name, made);
    }
    return jobs.get(name);
  }

  /** Turn { f4: "base64" } into a Float32Array, and so on; everything else stays. */
  function unpack(value) {
    const [kind] = Object.keys(value ?? {});
    if (!(kind in TYPES) || typeof value[kind] !== "string") return value;
    const bytes = Uint8Array.from(atob(value[kind]), (letter) => letter.charCodeAt(0));
    return new TYPES[kind](bytes.buffer);
  }

  /** Take in a payload; called by the scripts in data/. */
  Report.load = (name, payload) => {
    job(name).resolve(Object.fromEntries(Object.entries(payload).map(([key, value]) => [key, unpack(value)])));
  };

  /** Return a promise of the payload of data/<name>.js, which is loaded once. */
  Report.need = (name) => {
    if (jobs.has(name)) return jobs.get(name).promise;
    const { promise, reject } = job(name);
    const script = document.createElement("script");
    const complain = () => {
      reject(new Error(`data/${name}.js is missing or damaged: copy the whole folder of the report, or make it anew.`));
    };
    script.src = `data/${name}.js`;
    script.onerror = complain;
    script.onload = () => setTimeout(complain, 0); // does nothing after Report.load
    document.head.append(script);
    return promise;
  };

  /** Show what went wrong above everything else. */
  Report.complain = (error) => {
    const place = document.getElementById("problem");
    place.textContent = error.message ?? String(error);
    place.hidden = false;
  };
})();
