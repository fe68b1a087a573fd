"use strict";
// The report's tables and figures. Names are data: they reach the page as text, and Plotly with its markup escaped.

const report = JSON.parse(document.getElementById("report-data").textContent);
const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b4c9a", "#8c564b", "#4d4d4d", "#b2a800"];
// A class has one colour in every report; grey is no effect.
const classColours = { activator: "#d55e00", suppressor: "#0072b2", active_other: "#009e73", position_suspect: "#cc79a7", inconclusive: "#94a3b8", inactive: "#cbd5e1" };
const configuration = { displaylogo: false, responsive: true };
const plain = (value) => String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const shown = (value) => (value === null ? "unknown" : typeof value === "number" ? Number(value.toPrecision(4)) : value);
// Colours follow the reader's light or dark setting, as the page's do.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
// On a telephone a legend beside the figure would take half of it.
const isNarrow = () => innerWidth < 600;
const layout = (more) => ({
  font: { family: "system-ui, sans-serif", size: 13, color: colour("text") },
  margin: { l: 60, r: 20, t: 30, b: 50 }, paper_bgcolor: colour("page"), plot_bgcolor: colour("page"), hovermode: "closest",
  hoverlabel: { align: "left" }, ...more,
  ...(isNarrow() ? { legend: { orientation: "h", y: 1.02, yanchor: "bottom" } } : {}),
});
const axis = (title, more) => ({ title: { text: plain(title), font: { size: isNarrow() ? 10 : 14 } }, gridcolor: colour("line"), zerolinecolor: colour("strong-line"), ...more });
// The wells of each condition, for filters and cards.
const wellsOf = new Map();
report.wells?.metabolite.forEach((name, index) => (wellsOf.get(name) ?? wellsOf.set(name, []).get(name)).push(index));

function select(id, options, onChange) {
  const element = document.getElementById(id);
  for (const [value, label] of options) element.append(new Option(label, value));
  element.addEventListener("change", onChange);
  return element;
}

// Tables: a click on a header sorts; a search field and a choice filter the rows.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, index) => header.querySelector("button").addEventListener("click", () => {
    const descending = header.getAttribute("aria-sort") === "ascending";
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.cells[index].dataset.sort ?? row.cells[index].textContent;
    const isNumber = header.dataset.kind === "number";
    const rows = [...body.rows].sort((a, b) => {
      const [first, second] = [key(a), key(b)];
      // An unknown value comes last, whatever the direction.
      if (first === "" || second === "") return (first === "") - (second === "");
      const order = isNumber ? first - second : first.localeCompare(second);
      return descending ? -order : order;
    });
    body.append(...rows);
  }));
  const part = (name) => document.getElementById(`${table.id}-${name}`);
  const [search, choice, count] = [part("search"), part("choice"), part("count")];
  // A filter that offers one choice only is no filter.
  const offer = (name, of) => {
    const values = [...new Set([...body.rows].flatMap((row) => of(row.dataset.opens)))].filter(Boolean).sort(new Intl.Collator("en", { numeric: true }).compare);
    const element = part(name);
    if (!element || values.length < 2) return [];
    part(`${name}-filter`).hidden = false;
    for (const value of values) element.append(new Option(value, value));
    element.addEventListener("change", () => filter());
    return [[element, of]];
  };
  const offered = [
    ...offer("batch", (name) => [...new Set((wellsOf.get(name) ?? []).map((index) => report.wells.batch[index]))]),
    ...offer("dose", (name) => [report.cards?.[name]?.dose]),
  ];
  const filter = () => {
    const words = search ? search.value.toLowerCase() : "";
    let visible = 0;
    for (const row of body.rows) {
      row.hidden = !row.textContent.toLowerCase().includes(words)
        || Boolean(choice && choice.value && row.dataset.choice !== choice.value)
        || offered.some(([element, of]) => element.value && !of(row.dataset.opens).includes(element.value));
      visible += !row.hidden;
    }
    if (count) count.textContent = `${visible} of ${body.rows.length}`;
  };
  search?.addEventListener("input", filter);
  choice?.addEventListener("change", filter);
  // A spreadsheet computes text that begins like a formula; numbers may begin with a minus.
  const safe = (text) => {
    const guarded = /^[=+\-@\t\r]/.test(text) && !/^-?[\d.]+(e-?\d+)?$/i.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
  };
  const listed = (separator, of) => [headers.map((header) => header.innerText.trim()), ...[...body.rows].filter((row) => !row.hidden).map((row) =>
    [...row.cells].map((cell) => cell.dataset.sort ?? cell.textContent.trim()))].map((line) => line.map(of).join(separator)).join("\r\n");
  part("download")?.addEventListener("click", () => {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(new Blob(["\ufeff", listed(",", safe), "\r\n"], { type: "text/csv" }));
    anchor.download = `${table.id}.csv`;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
  });
  part("copy")?.addEventListener("click", async () => {
    await navigator.clipboard.writeText(listed("\t", (text) => safe(text.replaceAll("\t", " "))));
    count.textContent = "copied";
    setTimeout(filter, 1500);
  });
  filter();
}

const wells = report.wells;
const wellText = (index, label, value) =>
  `${plain(wells.metabolite[index])}<br>${plain(wells.well_id[index])}<br>${plain(label)}: ${plain(shown(value))}`;

// A to Z, then AA to AF on a plate of 1 536 wells.
const rowName = (number) => (number <= 26 ? String.fromCharCode(64 + number) : `A${String.fromCharCode(38 + number)}`);

function drawPlates() {
  const fields = Object.entries(wells.fields).filter(([, field]) => field.kind === "number");
  const batches = [...new Set(wells.batch)];
  const draw = () => {
    const [batch, name] = [batchChoice.value, fieldChoice.value];
    const field = wells.fields[name];
    const inBatch = wells.batch.flatMap((value, index) => (value === batch ? [index] : []));
    const plates = [...new Set(inBatch.map((index) => wells.plate[index]))].sort();
    const rows = Math.max(...inBatch.map((index) => wells.row[index]));
    const columns = Math.max(...inBatch.map((index) => wells.column[index]));
    const across = Math.min(columns > 24 ? 1 : columns > 12 ? 2 : 4, plates.length);
    const down = Math.ceil(plates.length / across);
    const traces = [], layoutOfPlates = { annotations: [] };
    plates.forEach((plate, number) => {
      const grid = Array.from({ length: rows }, () => Array(columns).fill(null));
      const text = grid.map((row) => row.map(() => ""));
      const conditions = grid.map((row) => row.map(() => null));
      const marked = { dmso: [], empty: [] };
      for (const index of inBatch.filter((each) => wells.plate[each] === plate)) {
        const [row, column] = [wells.row[index] - 1, wells.column[index] - 1];
        grid[row][column] = field.values[index];
        text[row][column] = wellText(index, name, field.values[index]);
        conditions[row][column] = wells.metabolite[index];
        const kind = wells.fields.is_dmso?.values[index] === "True" ? "dmso" : wells.fields.well_type?.values[index] === "empty" ? "empty" : null;
        if (kind) marked[kind].push([wells.column[index], rowName(wells.row[index])]);
      }
      const suffix = number ? number + 1 : "";
      const left = (number % across) / across, bottom = 1 - (Math.floor(number / across) + 1) / down;
      layoutOfPlates[`xaxis${suffix}`] = { domain: [left, left + 0.88 / across], anchor: `y${suffix}`, side: "bottom", dtick: columns > 24 ? 4 : columns > 12 ? 2 : 1, tickfont: { size: 9 }, showgrid: false };
      layoutOfPlates[`yaxis${suffix}`] = { domain: [bottom + 0.1 / down, bottom + 0.88 / down], anchor: `x${suffix}`, autorange: "reversed", tickfont: { size: 9 }, showgrid: false };
      layoutOfPlates.annotations.push({ text: plain(plate), x: left + 0.44 / across, y: bottom + 0.99 / down, xref: "paper", yref: "paper", showarrow: false, yanchor: "top" });
      traces.push({
        type: "heatmap", z: grid, text, conditions, hoverinfo: "text", hoverongaps: false, coloraxis: "coloraxis", xgap: 1, ygap: 1,
        x: Array.from({ length: columns }, (_, index) => index + 1),
        y: Array.from({ length: rows }, (_, index) => rowName(index + 1)),
        xaxis: `x${suffix}`, yaxis: `y${suffix}`,
      });
      for (const [kind, symbol] of [["dmso", "square-open"], ["empty", "x-thin-open"]])
        traces.push({
          type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false, xaxis: `x${suffix}`, yaxis: `y${suffix}`,
          x: marked[kind].map(([column]) => column), y: marked[kind].map(([, row]) => row),
          marker: { symbol, size: columns > 24 ? 4 : columns > 12 ? 8 : 14, color: colour("text"), line: { width: 1.5, color: colour("text") } },
        });
    });
    Plotly.react("plates-figure", traces, layout({
      ...layoutOfPlates, height: 60 + down * (columns > 24 ? 620 : columns > 12 ? 330 : 230), margin: { l: 30, r: 20, t: 20, b: 20 },
      plot_bgcolor: colour("line"), coloraxis: { colorscale: "Viridis", colorbar: { title: { text: plain(name), side: "right" }, thickness: 14 } },
    }), configuration);
  };
  const batchChoice = select("plates-batch", batches.map((batch) => [batch, batch]), draw);
  const fieldChoice = select("plates-field", fields.map(([name, field]) => [name, field.label]), draw);
  draw();
}

function geneField(gene) {
  const expression = report.expression;
  const at = expression.genes.indexOf(gene);
  const n = wells.well_id.length;
  expression.bytes ??= Uint8Array.from(atob(expression.levels), (character) => character.charCodeAt(0));
  const [low, high] = [expression.low[at], expression.high[at]];
  const levels = expression.bytes.subarray(at * n, (at + 1) * n);
  return { kind: "number", values: Array.from(levels, (level) => (level ? low + ((level - 1) / 254) * (high - low) : null)) };
}

function colouredTraces(x, y, name, field) {
  const trace = (indices, more) => ({
    type: "scatter", mode: "markers", hoverinfo: "text",
    x: indices.map((index) => x[index]), y: indices.map((index) => y[index]),
    text: indices.map((index) => wellText(index, name, field.values[index])),
    customdata: indices.map((index) => wells.metabolite[index]), ...more,
  });
  const all = wells.well_id.map((_, index) => index).filter((index) => x[index] !== null);
  if (field.kind === "number") {
    const known = all.filter((index) => field.values[index] !== null);
    const unknown = all.filter((index) => field.values[index] === null);
    return [
      trace(unknown, { marker: { color: "#cbd5e1", size: 6 }, name: "unknown", showlegend: unknown.length > 0 }),
      trace(known, { showlegend: false, marker: { size: 6, color: known.map((index) => field.values[index]), colorscale: "Viridis", showscale: true, colorbar: { title: { text: plain(name), side: "right" }, thickness: 14 } } }),
    ];
  }
  const counts = new Map();
  for (const index of all) counts.set(field.values[index], (counts.get(field.values[index]) ?? 0) + 1);
  const names = [...counts].sort((a, b) => b[1] - a[1]).map(([value]) => value);
  const named = names.length > palette.length ? names.slice(0, palette.length - 1) : names;
  const traces = named.map((value, number) => trace(all.filter((index) => field.values[index] === value),
    { name: plain(shown(value)), marker: { color: (name === "hit_class" && classColours[value]) || palette[number], size: 6 } }));
  const rest = all.filter((index) => !named.includes(field.values[index]));
  if (rest.length) traces.unshift(trace(rest, { name: `${names.length - named.length} others`, marker: { color: "#cbd5e1", size: 6 } }));
  return traces;
}

function drawMap() {
  const draw = () => {
    const map = report.maps[mapChoice.value];
    const gene = report.expression?.genes.includes(geneChoice.value) ? geneChoice.value : null;
    Plotly.react("map-figure", colouredTraces(map.x, map.y, gene ?? fieldChoice.value, gene ? geneField(gene) : wells.fields[fieldChoice.value]),
      layout({ height: 560, xaxis: axis(map.x_label), yaxis: axis(map.y_label), showlegend: true, legend: { itemsizing: "constant" } }), configuration);
  };
  const mapChoice = select("map-kind", Object.entries(report.maps).map(([name, map]) => [name, map.label]), draw);
  const fieldChoice = select("map-field", Object.entries(wells.fields).map(([name, field]) => [name, field.label]), draw);
  const geneChoice = document.getElementById("map-gene");
  if (report.expression) {
    document.getElementById("map-gene-choice").hidden = false;
    document.getElementById("map-genes").append(...report.expression.genes.map((gene) => new Option(gene, gene)));
    geneChoice.addEventListener("input", draw);
    fieldChoice.addEventListener("change", () => { geneChoice.value = ""; draw(); });
  }
  fieldChoice.value = "is_dmso" in wells.fields ? "is_dmso" : fieldChoice.value;
  draw();
}

function drawReplicates() {
  const batches = [...new Set(wells.batch)];
  const fields = Object.entries(wells.fields).filter(([, field]) => field.kind === "number");
  const draw = () => {
    const [first, second, name] = [firstChoice.value, secondChoice.value, fieldChoice.value];
    const means = new Map();
    wells.metabolite.forEach((metabolite, index) => {
      const value = wells.fields[name].values[index];
      if (value === null || !wells.is_treated[index] || !wells.qc_pass[index]) return;
      const of = means.get(metabolite) ?? means.set(metabolite, {}).get(metabolite);
      (of[wells.batch[index]] ??= []).push(value);
    });
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const pairs = [...means].filter(([, of]) => of[first] && of[second]).map(([metabolite, of]) => [metabolite, mean(of[first]), mean(of[second])]);
    const [x, y] = [pairs.map((pair) => pair[1]), pairs.map((pair) => pair[2])];
    const [mx, my] = [mean(x), mean(y)];
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    const r = sum(x.map((value, i) => (value - mx) * (y[i] - my))) / Math.sqrt(sum(x.map((v) => (v - mx) ** 2)) * sum(y.map((v) => (v - my) ** 2)));
    document.getElementById("replicates-summary").textContent =
      `${pairs.length} metabolites in both batches, Pearson r = ${Number.isFinite(r) ? r.toFixed(2) : "not defined"}`;
    Plotly.react("replicates-figure", [{
      type: "scatter", mode: "markers", x, y, hoverinfo: "text", marker: { color: palette[0], size: 7, opacity: 0.7 },
      customdata: pairs.map((pair) => pair[0]),
      text: pairs.map((pair) => `${plain(pair[0])}<br>${plain(first)}: ${shown(pair[1])}<br>${plain(second)}: ${shown(pair[2])}`),
    }], layout({ height: 480, xaxis: axis(`${name}, ${first}`), yaxis: axis(`${name}, ${second}`) }), configuration);
  };
  const options = batches.map((batch) => [batch, batch]);
  const firstChoice = select("replicates-first", options, draw);
  const secondChoice = select("replicates-second", options, draw);
  const fieldChoice = select("replicates-field", fields.map(([name, field]) => [name, field.label]), draw);
  secondChoice.selectedIndex = 1;
  draw();
}

function drawVolcano() {
  const hits = report.volcano;
  const classes = Object.keys(classColours).filter((name) => hits.hit_class.includes(name));
  Plotly.react("volcano-figure", classes.map((name) => {
    const rows = hits.metabolite.map((_, index) => index).filter((index) => hits.hit_class[index] === name && hits.direction[index] !== null);
    return {
      type: "scatter", mode: "markers", name: plain(name), hoverinfo: "text", marker: { color: classColours[name], size: 7 },
      x: rows.map((index) => hits.direction[index]), y: rows.map((index) => -Math.log10(hits.q_replicate[index])),
      customdata: rows.map((index) => hits.metabolite[index]),
      text: rows.map((index) => `${plain(hits.metabolite[index])}<br>direction ${shown(hits.direction[index])}<br>FDR ${shown(hits.q_replicate[index])}`),
    };
  }), layout({
    height: 520, margin: { l: 60, r: 20, t: 60, b: 50 },
    xaxis: axis("direction: resting − to activated +, class distance is 1"), yaxis: axis("−log10 FDR"),
    annotations: hits.metabolite.map((_, index) => index)
      .filter((index) => hits.direction[index] !== null && hits.q_replicate[index] !== null && ["activator", "suppressor", "active_other"].includes(hits.hit_class[index]))
      .sort((a, b) => hits.rank[a] - hits.rank[b]).slice(0, isNarrow() ? 0 : 10)
      // Neighbours' names on five levels: points of one FDR stand side by side.
      .sort((a, b) => hits.direction[a] - hits.direction[b])
      .map((index, place) => ({
        x: hits.direction[index], y: -Math.log10(hits.q_replicate[index]), text: plain(hits.metabolite[index].slice(0, 24)),
        font: { size: 11, color: colour("text") }, arrowhead: 0, arrowwidth: 1, arrowcolor: colour("strong-line"),
        ax: 0, ay: -16 - 14 * (place % 5),
      })),
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { dash: "dash", color: "#64748b", width: 1 } }],
  }), configuration);
}

function drawLoss() {
  Plotly.react("loss-figure", report.loss.curves.map((curve, number) => ({
    type: "scatter", mode: "lines+markers", name: plain(curve.name), x: curve.epoch, y: curve.total, marker: { size: 4 }, line: { color: palette[number], width: 2 },
  })), layout({
    height: 380, xaxis: axis(`epoch; the kept one was chosen by the ${report.loss.chosen_by}`), yaxis: axis("loss"),
    shapes: report.loss.best === null ? [] : [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: report.loss.best, x1: report.loss.best, line: { dash: "dash", color: "#64748b" } }],
  }), configuration);
}

function drawGenes() {
  const genes = report.genes;
  Plotly.react("genes-figure", [{
    type: "bar", orientation: "h", x: genes.importance, y: genes.gene.map(plain), hoverinfo: "text",
    text: genes.gene.map((gene, index) => `${plain(gene)}: ${shown(genes.importance[index])}, correlation with the prediction ${shown(genes.correlation[index])}`),
    textposition: "none", marker: { color: genes.correlation.map((value) => (value === null || Math.abs(value) < 0.2 ? "#94a3b8" : value < 0 ? palette[1] : palette[0])) },
  }], layout({ height: 140 + 18 * genes.gene.length, margin: { l: 110, r: 20, t: 10, b: 50 }, xaxis: axis(`mean |x · ∂${genes.head}/∂x|`), yaxis: { autorange: "reversed", automargin: true } }), configuration);
}

const figures = { plates: drawPlates, map: drawMap, replicates: drawReplicates, volcano: drawVolcano, loss: drawLoss, genes: drawGenes };
for (const [name, draw] of Object.entries(figures)) if (document.getElementById(`${name}-figure`)) draw();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of document.querySelectorAll(".js-plotly-plot"))
    Plotly.relayout(element, { paper_bgcolor: colour("page"), plot_bgcolor: colour("page"), "font.color": colour("text") });
});

// A closed part would be missing on paper.
addEventListener("beforeprint", () => document.querySelectorAll("main section:not(.not-printed) details").forEach((part) => { part.open = true; }));
