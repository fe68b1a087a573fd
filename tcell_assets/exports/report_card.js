// The metabolite card: everything that is known of one condition, at the address #metabolite=<name>.

const dialog = document.getElementById("card");
const cardBody = document.getElementById("card-body");
const external = {
  PubChem: (name) => `https://pubchem.ncbi.nlm.nih.gov/#query=${encodeURIComponent(name)}`,
  ChEBI: (name) => `https://www.ebi.ac.uk/chebi/advancedSearchFT.do?searchString=${encodeURIComponent(name)}`,
  HMDB: (name) => `https://hmdb.ca/unearth/q?searcher=metabolites&query=${encodeURIComponent(name)}`,
};
const identifierWords = { pubchem_cid: "PubChem CID", chebi: "ChEBI", hmdb: "HMDB", inchikey: "InChIKey", smiles: "SMILES", mechanism: "Mechanism" };
const ensembl = (gene) => `https://www.ensembl.org/Multi/Search/Results?q=${encodeURIComponent(gene)}`;

// Names are data: every text of a card is set as text, never as markup.
function make(tag, attributes, ...children) {
  const isSvg = ["svg", "rect", "circle", "path", "line", "text", "title", "g"].includes(tag);
  const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const link = (address, text) => make("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text);
const significant = (value, digits = 3) =>
  value === null || value === undefined ? "–" : Math.abs(value) > 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(digits)));

function smallTable(caption, heads, rows) {
  return make("table", {}, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) =>
      make("td", typeof cell === "string" && /^[−\-–]?[\d.]/.test(cell) ? { class: "number" } : {}, cell))))));
}

// One plate: every well as a square, the condition's wells filled, DMSO outlined, empty ones dotted.
function plateDrawing(batch, plate, own, field) {
  const onPlate = wells.batch.flatMap((value, index) => (value === batch && wells.plate[index] === plate ? [index] : []));
  const rows = Math.max(...onPlate.map((index) => wells.row[index]));
  const columns = Math.max(...onPlate.map((index) => wells.column[index]));
  const size = columns > 24 ? 5 : columns > 12 ? 8 : 12;
  const types = wells.fields.well_type?.values;
  const squares = onPlate.map((index) => {
    const isDmso = wells.fields.is_dmso?.values[index] === "True";
    const kind = own.has(index) ? "own" : isDmso ? "dmso" : types?.[index] === "empty" ? "empty" : "other";
    const value = field ? wells.fields[field].values[index] : null;
    return make("rect", { x: (wells.column[index] - 1) * size + 1, y: (wells.row[index] - 1) * size + 1, width: size - 2, height: size - 2, class: `well-${kind}` },
      make("title", {}, `${rowName(wells.row[index])}${wells.column[index]} ${wells.metabolite[index]}${value === null ? "" : `, ${field} ${shown(value)}`}`));
  });
  const title = `Plate ${plate} of ${batch}: this condition's wells are filled, DMSO wells outlined`;
  return make("figure", { class: "small-plate" },
    make("svg", { viewBox: `0 0 ${columns * size} ${rows * size}`, width: columns * size, height: rows * size, role: "img", "aria-label": title }, ...squares),
    make("figcaption", {}, `${batch} ${plate}`));
}

// Each field as a line: DMSO wells of the same plates as rings, the condition's wells filled. Wells that agree lie together.
function agreementDrawing(own, dmso, fields) {
  const height = 26, left = 150, width = 300;
  const lines = fields.flatMap((field, line) => {
    const values = wells.fields[field].values;
    const known = (indices) => indices.filter((index) => values[index] !== null);
    const all = [...known(own), ...known(dmso)].map((index) => values[index]);
    if (!all.length) return [];
    const low = Math.min(...all), span = Math.max(...all) - low || 1, y = line * height + height / 2;
    const at = (index) => left + 8 + ((values[index] - low) / span) * (width - 16);
    const dot = (index, kind, radius) => make("circle", { cx: at(index), cy: y, r: radius, class: `dot-${kind}` },
      make("title", {}, `${wells.batch[index]} ${wells.plate[index]} ${rowName(wells.row[index])}${wells.column[index]}: ${significant(values[index])}`));
    return [
      make("text", { x: 0, y: y + 4 }, field), make("line", { x1: left, x2: left + width, y1: y, y2: y }),
      ...known(dmso).map((index) => dot(index, "dmso", 3)), ...known(own).map((index) => dot(index, "own", 4.5)),
    ];
  });
  return make("figure", { class: "drawing" },
    make("svg", { viewBox: `0 0 ${left + width} ${fields.length * height}`, width: left + width, role: "img", "aria-label": "The condition's wells, filled, among the DMSO wells of their plates, rings, by each number of the table below" }, ...lines),
    make("figcaption", {}, "This condition's wells (filled) among the DMSO wells of their plates (rings), each line from its least to its greatest value"));
}

function wellsPart(name) {
  const own = wells.metabolite.flatMap((value, index) => (value === name ? [index] : []));
  if (!own.length) return null;
  const fields = ["euclidean", "activation_probability", "pred_tscore", "pred_cytotrace", "pred_pseudotime", "tscore", "total_umi"]
    .filter((field) => wells.fields[field]?.kind === "number").slice(0, 4);
  const isOwn = new Set(own);
  const plates = [...new Set(own.map((index) => JSON.stringify([wells.batch[index], wells.plate[index]])))].map((text) => JSON.parse(text));
  const mean = (indices, field) => {
    const known = indices.map((index) => wells.fields[field].values[index]).filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };
  const dmso = (batch, plate) => wells.batch.flatMap((value, index) =>
    value === batch && wells.plate[index] === plate && wells.fields.is_dmso?.values[index] === "True" ? [index] : []);
  const rows = own.map((index) => [
    `${wells.batch[index]} ${wells.plate[index]} ${rowName(wells.row[index])}${wells.column[index]}`,
    wells.qc_pass[index] ? "passes" : "fails",
    ...fields.map((field) => `${significant(wells.fields[field].values[index])} (DMSO ${significant(mean(dmso(wells.batch[index], wells.plate[index]), field))})`),
  ]);
  return make("section", {}, make("h3", {}, "Wells"),
    agreementDrawing(own, plates.flatMap(([batch, plate]) => dmso(batch, plate)), fields),
    make("div", { class: "small-plates" }, ...plates.slice(0, 12).map(([batch, plate]) => plateDrawing(batch, plate, isOwn, fields[0]))),
    make("div", { class: "scroll" }, smallTable("Each well beside the mean of the DMSO wells on its plate", ["well", "quality", ...fields], rows)));
}

function genesPart(genes) {
  if (!genes) return null;
  const side = (title, part) => make("div", {}, smallTable(title, ["gene", "log2 effect", "t", "FDR"],
    part.gene.map((gene, index) => [link(ensembl(gene), gene), significant(part.effect[index]), significant(part.t[index]), significant(part.q[index])])));
  return make("section", {}, make("h3", {}, "Genes that moved most against DMSO"),
    make("div", { class: "side-by-side" }, side("Up", genes.up), side("Down", genes.down)));
}

function neighboursPart(card) {
  if (!card.neighbours) return null;
  const near = card.neighbours;
  return make("section", {}, make("h3", {}, "Resembles"),
    smallTable(`Active conditions with the nearest signatures; its cluster has ${card.cluster_size} member${card.cluster_size === 1 ? "" : "s"}`, ["condition", "cosine", "FDR"],
      near.neighbour.map((name, index) => [make("a", { href: address(name) }, name), significant(near.cosine[index]), significant(near.q[index])])));
}

function pathwaysPart(sets) {
  if (!sets) return null;
  return make("section", {}, make("h3", {}, "Pathways"),
    smallTable("Gene sets whose genes move more than the others; positive rises", ["gene set", "activity (t)", "FDR"],
      sets.gene_set.map((name, index) => [name, significant(sets.activity[index]), significant(sets.q[index])])));
}

// Mean activity of each dose and, where there is one, the fitted curve; doses on a log axis.
function curveDrawing(curve) {
  if (curve.dose_means.length < 2) return null;
  const width = 360, height = 180, left = 48, bottom = 28;
  const logs = curve.dose_means.map(([dose]) => Math.log10(dose));
  const first = logs[0], last = logs[logs.length - 1];
  const isDrawn = curve.fit === "log_logistic" && curve.response === "response";
  const fitted = (log) => curve.bottom + (curve.top - curve.bottom) / (1 + (curve.ec50 / 10 ** log) ** curve.slope);
  const steps = isDrawn ? Array.from({ length: 61 }, (_, step) => first + ((last - first) * step) / 60) : logs;
  const line = isDrawn ? steps.map(fitted) : curve.dose_means.map(([, mean]) => mean);
  const values = [...line, ...curve.dose_means.map(([, mean]) => mean), 0];
  const low = Math.min(...values), high = Math.max(...values);
  const x = (log) => left + 10 + ((log - first) / (last - first || 1)) * (width - left - 20);
  const y = (value) => 10 + ((high - value) / (high - low || 1)) * (height - bottom - 20);
  return make("figure", { class: "drawing" },
    make("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": "Mean activity of each dose" },
      make("line", { x1: left, x2: width, y1: y(0), y2: y(0) }),
      make("path", { d: steps.map((log, index) => `${index ? "L" : "M"}${x(log).toFixed(1)} ${y(line[index]).toFixed(1)}`).join(""), class: isDrawn ? "curve" : "curve dashed" }),
      ...(isDrawn ? [make("line", { x1: x(Math.log10(curve.ec50)), x2: x(Math.log10(curve.ec50)), y1: 10, y2: height - bottom, class: "dashed" })] : []),
      ...curve.dose_means.map(([dose, mean, n]) => make("circle", { cx: x(Math.log10(dose)), cy: y(mean), r: 4, class: "dot-own" }, make("title", {}, `${significant(dose)} µM: ${significant(mean)}, ${n} wells`))),
      make("text", { x: 0, y: y(high) + 4 }, significant(high)), make("text", { x: 0, y: y(low) + 4 }, significant(low)),
      ...[...new Set([0, logs.length - 1])].map((index) => make("text", { x: x(logs[index]) - 12, y: height - 8 }, significant(curve.dose_means[index][0])))),
    make("figcaption", {}, `Activity along its own direction (log2) by dose in µM: mean of each dose${isDrawn ? ", the fitted curve and its EC50" : ""}`));
}

function curvePart(curve) {
  if (!curve) return null;
  const said = curve.response === "response"
    ? `EC50 ${significant(curve.ec50)} µM (95 % interval ${significant(curve.ec50_low)} to ${significant(curve.ec50_high)}; – is open), ${curve.fit === "isotonic" ? "read off a step function" : `slope ${significant(curve.slope)}`}`
    : curve.response === "not reached" ? "Acts, but its half-way dose lies outside the doses tried" : curve.response === "no response" ? "No response over these doses" : "Doses differ, but not in one direction";
  return make("section", {}, make("h3", {}, "Dose response"), curveDrawing(curve),
    make("p", {}, `${said}. ${curve.n_doses} doses, ${curve.n_wells} wells, from ${significant(curve.bottom)} to ${significant(curve.top)}, p ${significant(curve.p)}.`));
}

function cardContent(name) {
  const card = report.cards[name];
  const compound = card.compound ?? name;
  const facts = [
    ["Class", card.hit_class.replace("_", " ")],
    ["Why", card.reason],
    ["FDR", significant(card.fdr)],
    ["Wells compared", significant(card.n_replicates)],
    ["Strength", significant(card.strength)],
    ["Direction", card.direction === null ? "–" : `${significant(card.direction)} (FDR ${significant(card.direction_fdr)}); resting − to activated +, class distance 1`],
    ...(card.dose ? [["Dose", card.dose]] : []),
    ...Object.entries(card.identifiers ?? {}).map(([kind, value]) => [identifierWords[kind] ?? kind, value]),
  ];
  return [
    make("dl", {}, ...facts.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])),
    make("p", { class: "links" }, "Look up: ", ...Object.entries(external).flatMap(([site, of]) => [link(card.links?.[site] ?? of(compound), site), " "])),
    wellsPart(name), genesPart(card.genes), make("div", { class: "side-by-side" }, neighboursPart(card), pathwaysPart(card.pathways)),
    curvePart(card.curve),
  ].filter((part) => part !== null);
}

const address = (name) => `#metabolite=${encodeURIComponent(name)}`;
const named = () => (location.hash.startsWith("#metabolite=") ? decodeURIComponent(location.hash.slice(12)) : null);

function openCard(name) {
  if (report.cards && Object.hasOwn(report.cards, name)) location.hash = address(name);
}

function showCard() {
  const name = named();
  if (name === null || !report.cards || !Object.hasOwn(report.cards, name)) {
    if (dialog.open) dialog.close();
    return;
  }
  document.getElementById("card-title").textContent = name;
  cardBody.replaceChildren(...cardContent(name));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

dialog.addEventListener("close", () => {
  document.body.classList.remove("prints-card");
  if (named() !== null) history.replaceState(null, "", location.pathname + location.search);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.getElementById("card-close").addEventListener("click", () => dialog.close());
document.getElementById("card-print").addEventListener("click", () => { document.body.classList.add("prints-card"); print(); });
addEventListener("afterprint", () => document.body.classList.remove("prints-card"));
addEventListener("hashchange", showCard);

for (const row of document.querySelectorAll("#hits tbody tr[data-opens]"))
  row.addEventListener("click", (event) => { if (!event.target.closest("a")) openCard(row.dataset.opens); });

// A click on a point or well opens the card of its condition.
const conditionOf = (figure, point) => (figure === "plates" ? point.data.conditions?.[point.pointIndex[0]]?.[point.pointIndex[1]] : point.customdata);
for (const figure of ["volcano", "map", "plates", "replicates"]) {
  const element = document.getElementById(`${figure}-figure`);
  element?.on?.("plotly_click", (event) => { const name = conditionOf(figure, event.points[0]); if (name) openCard(name); });
}

// On paper the cards of all hits follow the page; a closed part would be missing.
addEventListener("beforeprint", () => {
  if (document.body.classList.contains("prints-card") || !report.cards) return;
  const printed = document.getElementById("printed-cards");
  const hits = Object.entries(report.cards).filter(([, card]) => ["activator", "suppressor", "active_other"].includes(card.hit_class)).sort((a, b) => a[1].rank - b[1].rank).slice(0, 50);
  printed.replaceChildren(...hits.map(([name]) => make("article", {}, make("h2", {}, name), ...cardContent(name))));
});
addEventListener("afterprint", () => document.getElementById("printed-cards").replaceChildren());
showCard();
