"use strict";

// The runs of the report: their numbers for each query, and their rank lists.
(() => {
  let meta;
  const tables = [];

  Report.OTHER = 0; // kinds of images in a rank list
  Report.MATCH = 1;
  Report.JUNK = 2;

  Report.startRuns = (payload, queries) => {
    meta = payload;
    tables.push(...queries);
  };

  Report.meta = () => meta;
  Report.runCount = () => meta.runs.length;
  Report.runName = (run) => meta.runs[run].name;

  /** Return the letter of a run, which stands for its name where there is little room. */
  Report.letter = (run) => String.fromCharCode(65 + run);

  /** Return the numbers of all queries of a run: ap, best, matches, top, match, other. */
  Report.table = (run) => tables[run];

  /** Return the run that the first one is compared with; null: there is one alone, or none is wanted. */
  Report.versus = () => {
    const run = Number(Report.state().versus);
    return Number.isInteger(run) && run > 0 && run < Report.runCount() ? run : null;
  };

  /** Return the runs that are shown. */
  Report.shownRuns = () => (Report.versus() === null ? [0] : [0, Report.versus()]);

  /** Tell whether the first image with a rank is of another identity; queries without a true match are no case. */
  Report.isWrong = (run, query) => tables[run].best[query] > 1;

  /** Return average precision in percent, of the matches of one camera if there is a code; NaN: no such match. */
  Report.precision = (run, query, camera = null) => {
    const table = tables[run];
    if (camera === null) return 100 * table.ap[query];
    for (let place = table.pairStart[query]; place < table.pairStart[query + 1]; place += 1) {
      if (table.pairCamera[place] === camera) return 100 * table.pairAp[place];
    }
    return NaN;
  };

  Report.knowsPairs = () => Boolean(tables[0].pairStart);

  /** Return a promise of a query's list: items and matches, each { image, kind, rank, score }, the closest first. */
  Report.listOf = async (run, query) => {
    const size = meta.layout.listChunk;
    const chunk = await Report.need(`lists-${run}-${Math.floor(query / size)}`);
    const own = query % size;
    const items = [];
    let rank = 0;
    for (let place = chunk.start[own]; place < chunk.start[own + 1]; place += 1) {
      const kind = chunk.kind[place];
      rank += kind === Report.JUNK ? 0 : 1;
      const counted = kind === Report.JUNK ? 0 : rank;
      items.push({ image: chunk.image[place], kind, rank: counted, score: chunk.score[place] });
    }
    const matches = [];
    for (let place = chunk.matchStart[own]; place < chunk.matchStart[own + 1]; place += 1) {
      matches.push({
        image: chunk.matchImage[place],
        kind: Report.MATCH,
        rank: chunk.matchRank[place],
        score: chunk.matchScore[place],
      });
    }
    return { items, matches };
  };
})();
