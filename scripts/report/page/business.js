"use strict";

// Sales, payments and purchases, as the filter has them: functions of the filter that give elements.
const Business = (() => {
  const { count, money, exact, plural, plain } = Charts;
  const { element, paragraph, card, tableCard, tile } = Parts;

  const dateHeading = (by) => ({ day: "day", week: "week of", month: "month" })[by];
  const orderTime = (by) => `${by} of the order`;
  const shownDate = (date, by) => (by === "month" ? date.slice(0, 7) : date);

  function amountsOverTime(name, filter, title) {
    const found = Data.overTime(name, filter, "amount");
    const codes = [...found.series.keys()];
    return codes.length ? {
      ...Charts.lines(found, title, { format: exact, by: filter.by, time: orderTime(filter.by) }),
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
      ...Charts.stacks(found.periods, series, title, { by: filter.by, time: orderTime(filter.by) }),
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
    const all = Data.members(name, filter, measure);
    if (!all.length) return null;
    const entries = all.filter((entry) => entry.key !== null);
    const others = all.find((entry) => entry.key === null);
    const codes = Data.used.filter((code) => all.some((entry) => entry.values.has(code)));
    const format = measure === "amount" ? exact : (value) => count(value);
    const inShort = measure === "amount" ? money : (value, code) => `${count(value)} in ${code}`;
    const series = codes.map((code) => {
      const values = entries.map((entry) => entry.values.get(code) || 0);
      return { name: code, values, colour: Charts.colourOf(code), texts: values.map((value) => plain(format(value, code))) };
    });
    return {
      ...Charts.bars(entries.map((entry) => entry.label), series, title, { what, stacked: measure !== "amount" }),
      after: others && `All others: ${codes.map((code) => inShort(others.values.get(code) || 0, code)).join(" · ")}`,
      rows: {
        headings: [what, ...codes.map((text) => ({ text, number: true }))],
        rows: all.map((entry) => [entry.label, ...codes.map((code) => format(entry.values.get(code) || 0, code))]),
      },
    };
  }

  const inEach = (filter) => (filter.currencies.size > 1 ? ", each currency by itself" : "");
  const inOwn = (filter) => (filter.currencies.size === 1 ? [...filter.currencies][0] : "in each currency");

  // ------------------------------------------------------------------ sections

  function total(name, filter, measure) {
    return [...Data.sums(name, filter, measure, "currency")].sort(([one], [other]) => (one < other ? -1 : 1));
  }

  const added = (totals) => totals.reduce((sum, [, value]) => sum + value, 0);

  const DIRECTION_NAMES = { incoming: "Incoming payments", outgoing: "Outgoing payments", other: "Payments of other kinds" };
  const DIRECTION_NOTES = {
    incoming: "Sales receipts, and refunds of purchases", outgoing: "Purchase payments, and refunds of sales", other: "Kinds whose direction is not known here",
  };

  // Those of the shop, and others where there are any.
  function directions() {
    const kinds = new Set(Data.answer("payments").column("kind").map(Data.directionOf));
    return ["incoming", "outgoing", ...(kinds.has("other") ? ["other"] : [])];
  }

  // Of a row of payments: paid, due or overdue.
  function stateOf() {
    const state = Data.answer("payments").column("state");
    return (row) => state[row].split("_")[0];
  }

  function overview(filter) {
    const amounts = (totals) => (totals.length ? totals.map(([code, value]) => money(value, code)) : ["–"]);
    const hidden = Data.used.length - filter.currencies.size;
    const more = (text) => [text, hidden && `${plural(hidden, "currency", "currencies")} not shown`].filter(Boolean).join(" · ");
    const [open, openCounts] = ["amount", "payments"].map((measure) => Data.paymentSums(filter, measure, stateOf(), "currency"));
    const inState = (sums, direction, state) =>
      [...(sums.get(direction)?.get(state) || [])].sort(([one], [other]) => (one < other ? -1 : 1));
    const paymentTiles = directions().flatMap((direction) => ["due", "overdue"].map((state) => {
      const number = added(inState(openCounts, direction, state));
      const mood = state === "overdue" && number ? "attention" : "";
      return tile(`${DIRECTION_NAMES[direction]}, ${state}`, amounts(inState(open, direction, state)), more(plural(number, "payment")), mood);
    }));
    return [element("div", { class: "tiles" },
      tile("Revenue", amounts(total("sales", filter, "amount")), more(filter.currencies.size > 1 && "currencies are never added up")),
      tile("Sales orders", [count(added(total("sales", filter, "orders")))], more(plural(added(total("sales", filter, "units")), "unit"))),
      tile("Purchases", amounts(total("purchases", filter, "amount")), more(plural(added(total("purchases", filter, "orders")), "order"))),
      ...paymentTiles, ...Pipeline.stateTiles())];
  }

  function sales(filter) {
    const measure = filter.measure;
    const titles = { amount: `revenue, ${inOwn(filter)}`, units: "units sold", orders: "orders" };
    const note = measure === "amount" ? `The first ten by their share of revenue${inEach(filter)}.` : `The first ten. Colours: the orders' currencies.`;
    const by = (name, title, what) => card(title, note, breakdown(`sales_by_${name}`, filter, measure, titles[measure], what));
    const choice = element("select", { "aria-label": "What the breakdowns show" },
      Object.entries(MEASURES).map(([value, text]) => element("option", { value, selected: value === measure }, text)));
    choice.addEventListener("change", () => filter.choose({ measure: choice.value }));
    return [
      element("div", { class: "cards" },
        card("Revenue over time", `Units sold times price, by the day of the order${inEach(filter)}.`, amountsOverTime("sales", filter, `revenue, ${inOwn(filter)}`)),
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
    const period = Data.answer("payments").column("period");
    const byDate = Data.paymentSums(filter, "amount", "currency", stateOf(), (row) => Data.startOf[filter.by](period[row]));
    const byAge = Data.paymentSums(filter, "amount", "currency", "state");
    const each = (make) => directions().map((direction) => make(direction, DIRECTION_NAMES[direction], DIRECTION_NOTES[direction]));
    const none = new Map();
    return [element("div", { class: "cards" },
      each((direction, name, note) => card(`${name}: paid, due and overdue`, `${note}, by the day that was agreed for the payment, a panel for each currency.`, paymentPanels(byDate.get(direction) || none, filter))),
      each((direction, name, note) => card(`${name}: what is open, by age`, `${note}. As of ${Data.all.today} (UTC)${inEach(filter)}.`, ageing(byAge.get(direction) || none, filter), { nothing: "Nothing is open in these dates and currencies." })),
      paymentTable(filter))];
  }

  function paymentTable(filter) {
    const [counts, amounts] = ["payments", "amount"].map((measure) => Data.sums("payments", filter, measure, "kind", "currency", stateOf()));
    const cell = (kind, code, which) => {
      const number = counts.get(kind).get(code).get(which) || 0;
      return number ? `${money(amounts.get(kind).get(code).get(which), code)} (${count(number)})` : "–";
    };
    const rows = [...counts].sort().flatMap(([kind, codes]) => [...codes.keys()].sort().map((code) =>
      [kind, Data.directionOf(kind), code, ...["paid", "due", "overdue"].map((which) => cell(kind, code, which))]));
    const headings = ["kind", "direction", "currency", ...["paid", "due", "overdue"].map((text) => ({ text, number: true }))];
    return tableCard("By kind of payment", "Amount, and how many payments.", headings, rows);
  }

  function paymentPanels(byKind, filter) {
    const codes = [...byKind.keys()].sort();
    if (!codes.length) return null;
    const colours = Charts.meaning();
    const dates = Data.periods([...new Set(codes.flatMap((code) => [...byKind.get(code).values()].flatMap((of) => [...of.keys()])))].sort(), filter.by);
    const at = (code, kind, date) => byKind.get(code).get(kind)?.get(date) || 0;
    const gap = 0.12 / codes.length;
    const traces = [];
    const shape = { barmode: "stack", height: 110 + codes.length * (Charts.isNarrow() ? 130 : 150), bargap: 0.2, annotations: [] };
    codes.forEach((code, place) => {
      const suffix = place ? place + 1 : "";
      const top = 1 - place / codes.length;
      shape[`yaxis${suffix}`] = Charts.amountAxis(`amount, ${code}`, { domain: [top - 1 / codes.length + gap, top], nticks: 4 });
      for (const kind of ["paid", "due", "overdue"]) {
        const values = dates.map((date) => at(code, kind, date));
        traces.push({
          type: "bar", name: kind, legendgroup: kind, showlegend: place === 0, x: dates, y: values, yaxis: `y${suffix}`,
          marker: { color: colours[kind] }, text: values.map((value) => plain(exact(value, code))), textposition: "none",
          hovertemplate: `%{x}<br>${kind}: %{text}<extra></extra>`,
        });
      }
    });
    shape.xaxis = Charts.periodAxis(dates, filter.by, `agreed ${filter.by} of payment`, { anchor: `y${codes.length > 1 ? codes.length : ""}` });
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
      ...Charts.bars(open.map((state) => STATE_NAMES[state]), series, `open, ${inOwn(filter)}`, { what: "age" }),
      rows: {
        headings: ["age", ...codes.map((text) => ({ text, number: true }))],
        rows: open.map((state, at) => [STATE_NAMES[state], ...series.map(({ name, values }) => exact(values[at], name))]),
      },
    };
  }

  function purchases(filter) {
    return [element("div", { class: "cards" },
      card("Purchases over time", `Quantity times price, by the day of the order${inEach(filter)}.`, amountsOverTime("purchases", filter, `cost, ${inOwn(filter)}`)),
      card("Items ordered over time", "By the day of the order; items of all chosen currencies stand upon each other.", countsOverTime("purchases", filter, "units", "items")),
      card("By supplier", `The first ten by their share of the cost${inEach(filter)}.`, breakdown("purchases_by_counterparty", filter, "amount", `cost, ${inOwn(filter)}`, "supplier"), { wide: true }))];
  }

  return { overview, sales, payments, purchases };
})();
