"use strict";

// What stands on the page. A section: id, name, whether the filter acts on it, and `draw(filter)`, which gives elements.
// A card's chart is drawn when the card stands in the page: `card.draw` is called then.
const Sections = (() => {
  const { count, money, exact, plural, plain, duration } = Charts;
  const NOTHING_CHOSEN = "Nothing in these dates and currencies.";

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return made;
  }

  const paragraph = (name, ...text) => element("p", { class: name }, ...text);
  const empty = (text) => paragraph("empty", text);

  // ------------------------------------------------------------------ parts

  // `headings`: text, or {text, number: true}. A cell: text, an element, or {text, name} with a class.
  function table(headings, rows) {
    const numbers = headings.map((heading) => heading.number);
    const head = headings.map((heading, at) => element("th", { class: numbers[at] && "number", scope: "col" }, heading.text ?? heading));
    const body = rows.map((row) => element("tr", {}, row.map((cell, at) => {
      const isMarked = cell && typeof cell === "object" && !(cell instanceof Node);
      const names = [numbers[at] && "number", isMarked && cell.name].filter(Boolean).join(" ");
      return element("td", { class: names || null }, isMarked ? cell.text : cell ?? "");
    })));
    return element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, body));
  }

  // A titled chart. `chart`: {traces, layout, rows: {headings, rows}}, or null where there is nothing to show.
  function card(title, note, chart, { wide = false, nothing = NOTHING_CHOSEN } = {}) {
    const head = element("div", { class: "head" }, element("h3", {}, title));
    const made = element("article", { class: `card${wide ? " wide" : ""}` }, head, note && paragraph("note", note));
    if (!chart || !chart.traces.length) {
      made.append(empty(nothing));
      return made;
    }
    const place = element("div", { class: "chart", role: "img", "aria-label": `${title}. The figures are in the table below.` });
    made.append(place);
    made.draw = () => Plotly.react(place, chart.traces, chart.layout, Charts.config);
    if (chart.rows) made.append(rowsOf(chart.rows));
    return made;
  }

  function rowsOf({ headings, rows }) {
    const place = element("div", { class: "scroll" });
    const details = element("details", { class: "rows" }, element("summary", {}, "Show the figures"), place);
    details.addEventListener("toggle", () => {
      if (details.open && !place.firstChild) place.append(table(headings, rows));
    });
    return details;
  }

  const tableCard = (title, note, headings, rows, { wide = true, nothing } = {}) => {
    const made = card(title, note, null, { wide, nothing });
    if (rows.length) made.lastChild.replaceWith(element("div", { class: "scroll" }, table(headings, rows)));
    return made;
  };

  const tile = (name, values, more, mood = "") => element("div", { class: `tile ${mood}` },
    paragraph("name", name), values.map((value) => paragraph("value", value)), more && paragraph("more", more));

  // ------------------------------------------------------------------ charts from answers

  const dateHeading = (by) => ({ day: "day", week: "week of", month: "month" })[by];
  const shownDate = (date, by) => (by === "month" ? date.slice(0, 7) : date);

  function amountsOverTime(name, filter, title) {
    const found = Data.overTime(name, filter, "amount");
    const codes = [...found.series.keys()];
    return codes.length ? {
      ...Charts.lines(found, title, { format: exact, by: filter.by }),
      rows: {
        headings: [dateHeading(filter.by), ...codes.map((text) => ({ text, number: true }))],
        rows: found.periods.map((date, at) => [shownDate(date, filter.by), ...codes.map((code) => exact(found.series.get(code)[at], code))]),
      },
    } : null;
  }

  function countsOverTime(name, filter, measure, title) {
    const found = Data.overTime(name, filter, measure);
    const codes = [...found.series.keys()];
    if (!codes.length) return null;
    const series = codes.map((code) => ({
      name: `orders in ${code}`, values: found.series.get(code), colour: Charts.colourOf(code), texts: found.series.get(code).map(count),
    }));
    return {
      ...Charts.stacks(found.periods, series, title, { by: filter.by }),
      rows: {
        headings: [dateHeading(filter.by), ...codes.map((code) => ({ text: `orders in ${code}`, number: true })), { text: "together", number: true }],
        rows: found.periods.map((date, at) => {
          const values = codes.map((code) => found.series.get(code)[at]);
          return [shownDate(date, filter.by), ...values.map(count), count(values.reduce((sum, value) => sum + value, 0))];
        }),
      },
    };
  }

  const MEASURES = { amount: "revenue", units: "units", orders: "orders" };

  function breakdown(name, filter, measure, title, what) {
    const entries = Data.members(name, filter, measure);
    const codes = Data.used.filter((code) => entries.some((entry) => entry.values.has(code)));
    if (!entries.length) return null;
    const format = measure === "amount" ? exact : (value) => count(value);
    const series = codes.map((code) => {
      const values = entries.map((entry) => entry.values.get(code) || 0);
      return { name: code, values, colour: Charts.colourOf(code), texts: values.map((value) => plain(format(value, code))) };
    });
    return {
      ...Charts.bars(entries.map((entry) => entry.label), series, title, { stacked: measure !== "amount" }),
      rows: {
        headings: [what, ...codes.map((text) => ({ text, number: true }))],
        rows: entries.map((entry) => [entry.label, ...codes.map((code) => format(entry.values.get(code) || 0, code))]),
      },
    };
  }

  const inEach = (filter) => (filter.currencies.size > 1 ? ", each currency by itself" : "");
  const inOwn = (filter) => (filter.currencies.size === 1 ? [...filter.currencies][0] : "each currency's own units");

  // ------------------------------------------------------------------ sections

  function total(name, filter, measure) {
    return [...Data.sums(name, filter, measure, "currency")].sort(([one], [other]) => (one < other ? -1 : 1));
  }

  const added = (totals) => totals.reduce((sum, [, value]) => sum + value, 0);

  function overview(filter) {
    const amounts = (totals) => (totals.length ? totals.map(([code, value]) => money(value, code)) : ["–"]);
    const states = (which) => {
      const state = Data.answer("payments").column("state");
      const isOne = (row) => state[row].startsWith(which);
      const sums = (measure) => {
        const found = Data.sums("payments", filter, measure, isOne, "currency").get(true) || new Map();
        return [...found].sort(([one], [other]) => (one < other ? -1 : 1));
      };
      return [sums("amount"), added(sums("payments"))];
    };
    const orders = added(total("sales", filter, "orders"));
    const [due, dueCount] = states("due");
    const [overdue, overdueCount] = states("overdue");
    return [element("div", { class: "tiles" },
      tile("Revenue", amounts(total("sales", filter, "amount")), filter.currencies.size > 1 && "currencies are never added up"),
      tile("Sales orders", [count(orders)], plural(added(total("sales", filter, "units")), "unit")),
      tile("Purchases", amounts(total("purchases", filter, "amount")), plural(added(total("purchases", filter, "orders")), "order")),
      tile("Payments due", amounts(due), plural(dueCount, "payment")),
      tile("Payments overdue", amounts(overdue), plural(overdueCount, "payment"), overdueCount ? "attention" : ""),
      ...stateTiles().slice(0, 2))];
  }

  function sales(filter) {
    const measure = filter.measure;
    const titles = { amount: `revenue (${inOwn(filter)})`, units: "units sold", orders: "orders" };
    const note = measure === "amount" ? `The first ten by their share of revenue${inEach(filter)}.` : `The first ten. Colours: the orders' currencies.`;
    const by = (name, title, what) => card(title, note, breakdown(`sales_by_${name}`, filter, measure, titles[measure], what));
    const choice = element("select", { "aria-label": "What the breakdowns show" },
      Object.entries(MEASURES).map(([value, text]) => element("option", { value, selected: value === measure }, text)));
    choice.addEventListener("change", () => filter.choose({ measure: choice.value }));
    return [
      element("div", { class: "cards" },
        card("Revenue over time", `Units sold times price, by the day of the order${inEach(filter)}.`, amountsOverTime("sales", filter, `revenue (${inOwn(filter)})`)),
        card("Units sold over time", "By the day of the order; units of all chosen currencies stand upon each other.", countsOverTime("sales", filter, "units", "units sold"))),
      element("p", { class: "lead", style: "margin-top:1rem" }, element("label", {}, "Breakdowns by ", choice)),
      element("div", { class: "cards" },
        by("country", "By country", "country"), by("counterparty", "By counterparty", "counterparty"),
        by("design", "By design", "design"), by("staff", "By member of staff", "staff")),
    ];
  }

  const STATE_NAMES = {
    overdue_over_90: "over 90 days overdue", overdue_61_90: "61–90 days overdue", overdue_31_60: "31–60 days overdue",
    overdue_1_30: "1–30 days overdue", due_0_30: "due within 30 days", due_later: "due later", paid: "paid",
  };

  function payments(filter) {
    const answer = Data.answer("payments");
    const [period, state] = [answer.column("period"), answer.column("state")];
    const kindOf = (row) => state[row].split("_")[0];
    const byKind = Data.sums("payments", filter, "amount", "currency", kindOf, (row) => Data.startOf[filter.by](period[row]));
    const byState = Data.sums("payments", filter, "amount", "currency", "state");
    const counts = Data.sums("payments", filter, "payments", "kind", "currency", kindOf);
    const amounts = Data.sums("payments", filter, "amount", "kind", "currency", kindOf);
    const cell = (kind, code, which) => {
      const number = counts.get(kind).get(code).get(which) || 0;
      return number ? `${money(amounts.get(kind).get(code).get(which), code)} (${count(number)})` : "–";
    };
    const rows = [...counts].sort().flatMap(([kind, codes]) => [...codes.keys()].sort().map((code) =>
      [kind, code, cell(kind, code, "paid"), cell(kind, code, "due"), cell(kind, code, "overdue")]));
    return [element("div", { class: "cards" },
      card("Paid, due and overdue", "By the day that was agreed for the payment, a panel for each currency. All kinds of payment, incoming and outgoing.", paymentPanels(byKind, filter), { wide: true }),
      card("What is open, by age", `As of ${Data.all.today} (UTC)${inEach(filter)}.`, ageing(byState, filter), { nothing: "Nothing is open in these dates and currencies." }),
      tableCard("By kind of payment", "Amount, and how many payments.", ["kind", "currency", { text: "paid", number: true }, { text: "due", number: true }, { text: "overdue", number: true }], rows, { wide: false }))];
  }

  function paymentPanels(byKind, filter) {
    const codes = [...byKind.keys()].sort();
    if (!codes.length) return null;
    const colours = Charts.meaning();
    const dates = Data.periods([...new Set(codes.flatMap((code) => [...byKind.get(code).values()].flatMap((of) => [...of.keys()])))].sort(), filter.by);
    const at = (code, kind, date) => byKind.get(code).get(kind)?.get(date) || 0;
    const gap = 0.12 / codes.length;
    const traces = [];
    const shape = { barmode: "stack", height: 90 + codes.length * (Charts.isNarrow() ? 130 : 150), bargap: 0.2, annotations: [] };
    codes.forEach((code, place) => {
      const suffix = place ? place + 1 : "";
      const top = 1 - place / codes.length;
      shape[`yaxis${suffix}`] = Charts.amountAxis(code, { domain: [top - 1 / codes.length + gap, top], nticks: 4 });
      for (const kind of ["paid", "due", "overdue"]) {
        const values = dates.map((date) => at(code, kind, date));
        traces.push({
          type: "bar", name: kind, legendgroup: kind, showlegend: place === 0, x: dates, y: values, yaxis: `y${suffix}`,
          marker: { color: colours[kind] }, text: values.map((value) => exact(value, code)), textposition: "none",
          hovertemplate: `%{x}<br>${kind}: %{text}<extra></extra>`,
        });
      }
    });
    shape.xaxis = Charts.periodAxis(dates, filter.by, { anchor: `y${codes.length > 1 ? codes.length : ""}` });
    return {
      traces, layout: Charts.layout(shape),
      rows: {
        headings: ["currency", dateHeading(filter.by), ...["paid", "due", "overdue"].map((text) => ({ text, number: true }))],
        rows: codes.flatMap((code) => dates.map((date) => [code, shownDate(date, filter.by), ...["paid", "due", "overdue"].map((kind) => exact(at(code, kind, date), code))])),
      },
    };
  }

  function ageing(byState, filter) {
    const open = Data.all.states.filter((state) => state !== "paid");
    const codes = [...byState.keys()].sort().filter((code) => open.some((state) => byState.get(code).has(state)));
    if (!codes.length) return null;
    const series = codes.map((code) => {
      const values = open.map((state) => byState.get(code).get(state) || 0);
      return { name: code, values, colour: Charts.colourOf(code), texts: values.map((value) => plain(exact(value, code))) };
    });
    return {
      ...Charts.bars(open.map((state) => STATE_NAMES[state]), series, `open (${inOwn(filter)})`),
      rows: {
        headings: ["age", ...codes.map((text) => ({ text, number: true }))],
        rows: open.map((state, at) => [STATE_NAMES[state], ...series.map(({ name, values }) => exact(values[at], name))]),
      },
    };
  }

  function purchases(filter) {
    return [element("div", { class: "cards" },
      card("Purchases over time", `Quantity times price, by the day of the order${inEach(filter)}.`, amountsOverTime("purchases", filter, `cost (${inOwn(filter)})`)),
      card("Items ordered over time", "By the day of the order; items of all chosen currencies stand upon each other.", countsOverTime("purchases", filter, "units", "items")),
      card("By supplier", `The first ten by their share of the cost${inEach(filter)}.`, breakdown("purchases_by_counterparty", filter, "amount", `cost (${inOwn(filter)})`, "supplier"), { wide: true }))];
  }

  // ------------------------------------------------------------------ one order

  function orderHistory() {
    const versions = Data.objects("order_versions");
    if (!versions.length) return [empty("There is no sales order yet.")];
    const paid = Data.objects("order_payments");
    const made = `${Data.all.made_at.slice(0, 19).replace("T", " ")}`;
    const end = (row) => row.valid_to || row.deleted_at || (made > row.valid_from ? made : row.valid_from);
    const bars = [
      ...versions.map((row) => ({
        label: `order, version ${row.version}`, from: row.valid_from, to: end(row), colour: Charts.palette()[0],
        told: `${count(row.units_sold)} units at ${exact(row.unit_price, row.currency)}`,
      })),
      ...paid.map((row) => ({
        label: `payment ${row.payment_id}, version ${row.version}`, from: row.valid_from, to: end(row),
        colour: row.paid ? Charts.meaning().paid : Charts.palette()[1],
        told: `${row.kind}: ${exact(row.amount, row.currency)}, ${row.paid ? "paid" : `due on ${row.payment_date}`}`,
      })),
    ];
    const now = versions[versions.length - 1];
    return [
      paragraph("lead", `Sales order ${now.sales_order_id}: ${plural(versions.length, "version")}. Each is a row of fact_sales_order; none is ever overwritten. `,
        now.deleted_at ? "The order is deleted in the source." : ""),
      element("div", { class: "cards" },
        card("Timeline", "From when to when each version held, by the source's clock. Diamonds: the days agreed in the last version.", timeline(bars, now), { wide: true }),
        tableCard("Versions", "What changed from one version to the next is marked.", ...versionRows(versions))),
    ];
  }

  function timeline(bars, now) {
    const places = bars.map((_, at) => bars.length - at);
    const traces = bars.map((bar, at) => ({
      type: "scatter", mode: "lines+markers", x: [bar.from, bar.to], y: [places[at], places[at]], showlegend: false,
      line: { width: 9, color: bar.colour }, marker: { size: 9, symbol: ["circle", "line-ns"], color: bar.colour },
      hovertemplate: `${plain(bar.label)}<br>${plain(bar.told)}<br>%{x}<extra></extra>`,
    }));
    const agreed = [["delivery", now.agreed_delivery_date], ["payment", now.agreed_payment_date]];
    traces.push({
      type: "scatter", mode: "markers", x: agreed.map(([, date]) => date), y: [0, 0], showlegend: false,
      marker: { symbol: "diamond", size: 11, color: [Charts.palette()[2], Charts.palette()[1]] },
      text: agreed.map(([what]) => `agreed ${what}`), hovertemplate: "%{text}<br>%{x|%d %b %Y}<extra></extra>",
    });
    if (now.deleted_at) {
      traces.push({
        type: "scatter", mode: "markers", x: [now.deleted_at], y: [places[now.version - 1]], showlegend: false,
        marker: { symbol: "x", size: 11, color: Charts.meaning().overdue }, hovertemplate: "found deleted<br>%{x}<extra></extra>",
      });
    }
    const ticks = { tickmode: "array", tickvals: [...places, 0], ticktext: [...bars.map((bar) => plain(bar.label)), "agreed days"], range: [-0.7, bars.length + 0.7], zeroline: false };
    return {
      traces,
      layout: Charts.layout({ height: 110 + 30 * (bars.length + 1), showlegend: false, xaxis: Charts.timeAxis({ showgrid: true, hoverformat: "%d %b %Y %H:%M:%S" }), yaxis: Charts.axis("", ticks) }),
    };
  }

  function versionRows(versions) {
    const shown = {
      units: (row) => count(row.units_sold), price: (row) => exact(row.unit_price, row.currency), amount: (row) => exact(row.amount, row.currency),
      delivery: (row) => row.agreed_delivery_date, payment: (row) => row.agreed_payment_date,
      design: (row) => row.design, counterparty: (row) => row.counterparty, staff: (row) => row.staff,
    };
    const numbers = new Set(["units", "price", "amount"]);
    const headings = [{ text: "version", number: true }, "from", "until", ...Object.keys(shown).map((text) => ({ text, number: numbers.has(text) }))];
    const until = (row) => (row.valid_to ? row.valid_to.slice(0, 19) : row.deleted_at ? `deleted ${row.deleted_at.slice(0, 19)}` : "now");
    const rows = versions.map((row, at) => [
      String(row.version), { text: row.valid_from.slice(0, 19), name: "time" }, { text: until(row), name: "time" },
      ...Object.values(shown).map((of) => ({ text: of(row), name: at && of(row) !== of(versions[at - 1]) ? "changed" : "" })),
    ]);
    return [headings, rows];
  }

  // ------------------------------------------------------------------ pipeline

  const pipeline = Data.all.pipeline;
  const MOODS = { true: "good", false: "bad", null: "attention" };

  function stateTiles() {
    if (!pipeline) return [];
    const { health, published, certificate, promised_minutes: promised } = pipeline;
    const age = published ? (new Date(Data.all.made_at) - new Date(published.as_of)) / 1000 : null;
    const fresh = { true: "yes", false: "no", null: "not known" }[health.fresh];
    const complete = { true: "yes", false: "no", null: "not compared yet" }[health.complete];
    return [
      tile("Fresh", [fresh], published ? `the source as of ${duration(age)} before this report; ${promised} minutes are promised` : "nothing is published yet", MOODS[health.fresh]),
      tile("Complete", [complete], certificate ? `source = lake = warehouse, verified through ${certificate.verified_through.slice(0, 16)} (${certificate.time_zone})` : "etl.py reconcile compares", MOODS[health.complete]),
    ];
  }

  function pipelineSection() {
    const rows = Data.objects("table_rows");
    if (!pipeline) return [empty("The warehouse alone does not tell of its pipeline: name the lake (--lake)."), rows.length ? element("div", { class: "cards" }, tablesCard(rows, null)) : null];
    const held = Data.objects("quarantine");
    const heldRows = pipeline.health.findings.length;
    const batches = pipeline.batches;
    return [
      element("div", { class: "tiles" }, ...stateTiles(),
        tile("Batches", [count(batches.length ? batches[batches.length - 1].batch_id : 0)], batches.length ? `last: ${batches[batches.length - 1].started_at?.slice(0, 16).replace("T", " ") ?? "not extracted"} UTC` : "none yet"),
        tile("Rules that rows in quarantine break", [count(held.length)], held.length ? "see below" : "nothing is in quarantine", held.length ? "attention" : "good")),
      heldRows ? element("ul", { class: "findings" }, pipeline.health.findings.map((one) =>
        element("li", { class: one.severity }, one.what, one.do ? [element("br"), element("code", {}, one.do)] : null))) : null,
      element("div", { class: "cards" },
        card("Seconds of each batch, by stage", `From the source's snapshot to the warehouse; ${promised(pipeline)} are promised. The last ${batches.length} batches.`, stageSeconds(batches), { nothing: "No batch was made yet." }),
        card("Rows of each batch", "Read from the source, and of them set aside.", batchRows(batches), { nothing: "No batch was made yet." }),
        card("Expectations that did not hold", "By batch, both gates together. Critical ones reject a batch, warnings set rows aside, the rest is reported.", qualityTrend(), { nothing: qualityWords() }),
        brokenRules(),
        tablesCard(rows, pipeline.certificate),
        tableCard("In quarantine", "By the rule that is broken; a row that breaks two stands in two.", ["table", "rule", { text: "rows", number: true }, { text: "wait for another row", number: true }, "first set aside (UTC)"],
          held.map((row) => [row.table_name, row.rule, count(row.held), count(row.waiting), { text: row.first_found_at.slice(0, 16), name: "time" }]), { wide: false, nothing: "Nothing is in quarantine." }),
        batchTable(batches)),
    ];
  }

  const promised = ({ promised_minutes: minutes }) => `${count(minutes * 60)} seconds`;
  const batchAxis = () => Charts.axis("batch", { type: "category", showgrid: false, nticks: Charts.isNarrow() ? 8 : 15 });

  function stageSeconds(batches) {
    const shown = batches.filter((batch) => Object.keys(batch.seconds).length);
    if (!shown.length) return null;
    const ids = shown.map((batch) => String(batch.batch_id));
    const series = pipeline.stages.map((stage, at) => {
      const values = shown.map((batch) => batch.seconds[stage] || 0);
      return { name: stage, values, colour: Charts.palette()[at], texts: values.map((value) => `${value.toFixed(1)} s`) };
    });
    return {
      ...Charts.stacks(ids, series, "seconds", { xaxis: batchAxis() }),
      rows: {
        headings: [{ text: "batch", number: true }, ...pipeline.stages.map((text) => ({ text, number: true }))],
        rows: shown.map((batch) => [String(batch.batch_id), ...pipeline.stages.map((stage) => (batch.seconds[stage] === undefined ? "" : batch.seconds[stage].toFixed(1)))]),
      },
    };
  }

  function batchRows(batches) {
    if (!batches.length) return null;
    const ids = batches.map((batch) => String(batch.batch_id));
    const went = batches.map((batch) => batch.rows - batch.set_aside);
    const aside = batches.map((batch) => batch.set_aside);
    const series = [
      { name: "went on", values: went, colour: Charts.palette()[0], texts: went.map(count) },
      { name: "set aside", values: aside, colour: Charts.meaning().overdue, texts: aside.map(count) },
    ];
    return Charts.stacks(ids, series, "rows", { xaxis: batchAxis() });
  }

  function qualityTrend() {
    const rows = Data.objects("quality");
    const ids = [...new Set(rows.map((row) => row.batch_id))];
    const of = (id, severity) => rows.filter((row) => row.batch_id === id).reduce((sum, row) => sum + row[severity], 0);
    const series = ["critical", "warning", "info"].map((name) => {
      const values = ids.map((id) => of(id, name));
      return { name, values, colour: Charts.meaning()[name], texts: values.map(count) };
    });
    if (!series.some(({ values }) => values.some(Boolean))) return null;
    return {
      ...Charts.stacks(ids.map(String), series, "expectations", { xaxis: batchAxis() }),
      rows: {
        headings: ["batch", "gate", ...["expectations", "critical", "warning", "info", "broken rows"].map((text) => ({ text, number: true }))],
        rows: rows.map((row) => [String(row.batch_id), row.layer, ...["expectations", "critical", "warning", "info", "broken_rows"].map((name) => count(row[name]))]),
      },
    };
  }

  function qualityWords() {
    const rows = Data.objects("quality");
    const ids = new Set(rows.map((row) => row.batch_id));
    const looked = rows.reduce((sum, row) => sum + row.expectations, 0);
    return rows.length ? `All ${count(looked)} expectations held, in each of the last ${plural(ids.size, "batch", "batches")}.` : "No gate has looked at a batch yet.";
  }

  function brokenRules() {
    const pill = (severity) => element("span", { class: `pill ${{ critical: "bad", warning: "attention" }[severity] || ""}` }, severity);
    return tableCard("Rules that did not hold", "Of the last 40 batches, the latest first.", ["gate", "table", "rule", "", { text: "batches", number: true }, { text: "rows", number: true }, { text: "last in", number: true }],
      Data.objects("broken_rules").map((row) => [row.layer, row.table_name, `${row.subject}: ${row.expectation}`, pill(row.severity), count(row.batches), count(row.broken_rows), String(row.last_batch)]),
      { wide: false, nothing: "Every rule held." });
  }

  function tablesCard(rows, certificate) {
    const bySource = certificate?.tables ?? [];
    const agreement = (row) => {
      const found = bySource.find((one) => row.table_name === one.table || row.sources?.includes(one.table));
      return found ? element("span", { class: `pill ${found.agrees ? "good" : "bad"}` }, found.agrees ? "equal" : "differs") : "";
    };
    const star = rows.map((row) => [row.table_name, count(row.current_rows), count(row.all_rows)]);
    const shown = bySource.map((one) => [one.table, count(one.rows), agreement({ table_name: one.table })]);
    const made = tableCard("Rows per table", "Of a fact, every version is a row; current are the last versions of what the source still has.",
      ["star table", { text: "current", number: true }, { text: "rows", number: true }], star, { wide: false, nothing: "There are no tables yet." });
    if (!certificate) return made;
    const words = `Source, lake and warehouse compared key range by key range, verified through ${certificate.verified_through.slice(0, 19)} (${certificate.time_zone}).`;
    const other = tableCard("Certificate of the last reconcile", words, ["source table", { text: "rows", number: true }, "source = lake = warehouse"], shown, { wide: false });
    const both = document.createDocumentFragment();
    both.append(made, other);
    return both;
  }

  function batchTable(batches) {
    const mood = (batch) => (batch.state === "rejected" ? "bad" : batch.state === "load" ? "good" : "attention");
    const sum = (batch) => Object.values(batch.seconds).reduce((all, one) => all + one, 0);
    return tableCard("Batches", "The newest first; a batch is what one extraction read at one moment.", [{ text: "batch", number: true }, "started (UTC)", "state", { text: "rows", number: true }, { text: "set aside", number: true }, { text: "seconds", number: true }],
      [...batches].reverse().map((batch) => [String(batch.batch_id), { text: batch.started_at?.slice(0, 19).replace("T", " ") ?? "", name: "time" },
        element("span", { class: `pill ${mood(batch)}`, title: batch.rejected_because }, batch.state === "load" ? "loaded" : batch.state), count(batch.rows), count(batch.set_aside), sum(batch).toFixed(1)]),
      { nothing: "No batch was made yet." });
  }

  return {
    element, empty, paragraph,
    list: [
      { id: "overview", name: "Overview", filtered: true, draw: overview },
      { id: "sales", name: "Sales", filtered: true, draw: sales },
      { id: "payments", name: "Payments", filtered: true, draw: payments },
      { id: "purchases", name: "Purchases", filtered: true, draw: purchases },
      { id: "order", name: "One order's history", filtered: false, draw: orderHistory },
      { id: "pipeline", name: "Pipeline", filtered: false, draw: pipelineSection },
    ],
  };
})();
