"use strict";

// What the report knows, and how it is added up. Amounts are only ever added up within one currency.
const Data = (() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  const answers = new Map();
  const NONE = { rows: 0, column: () => [] };

  // An answer by its name: `rows`, and `column(name)` as an array. One that was not asked has no rows.
  function answer(name) {
    if (!answers.has(name)) answers.set(name, all.tables[name] ? opened(all.tables[name]) : NONE);
    return answers.get(name);
  }

  function opened(stored) {
    const columns = new Map();
    const column = (name) => {
      if (!columns.has(name)) {
        const found = stored.columns[name];
        columns.set(name, found.codes ? found.codes.map((code) => (code === null ? null : found.values[code])) : found);
      }
      return columns.get(name);
    };
    return { rows: stored.rows, column, names: Object.keys(stored.columns) };
  }

  // The rows as objects; for small answers.
  function objects(name) {
    const found = answer(name);
    return Array.from({ length: found.rows }, (_, row) =>
      Object.fromEntries(found.names.map((column) => [column, found.column(column)[row]])));
  }

  // ------------------------------------------------------------------ days, as text YYYY-MM-DD

  const day = (text) => new Date(`${text}T00:00:00Z`);
  const text = (date) => date.toISOString().slice(0, 10);
  const plusDays = (from, days) => text(new Date(day(from).getTime() + days * 86400000));
  const startOf = {
    day: (date) => date,
    week: (date) => plusDays(date, -((day(date).getUTCDay() + 6) % 7)),
    month: (date) => `${date.slice(0, 7)}-01`,
  };
  const next = {
    day: (date) => plusDays(date, 1),
    week: (date) => plusDays(date, 7),
    month: (date) => startOf.month(plusDays(date, 31)),
  };
  // Weeks do not make up months, so only days can be shown as something coarser.
  const offered = all.period === "day" ? ["day", "week", "month"] : [all.period];
  const byAtFirst = offered[offered.length - 1];

  // All periods from the first to the last, without holes.
  function periods(dates, by) {
    if (!dates.length) return [];
    const last = dates[dates.length - 1];
    const found = [];
    for (let at = dates[0]; at <= last; at = next[by](at)) found.push(at);
    return found;
  }

  // ------------------------------------------------------------------ filter and sums

  const extent = objects("extent");
  const first = extent.map((fact) => fact.first_day).sort()[0];
  const last = extent.map((fact) => fact.last_day).sort().pop();
  const used = [...new Set(["sales", "purchases", "payments"].flatMap((name) => answer(name).column("currency")))].sort();

  // The currencies, those with the most orders first; `busiest`: so many of them, by alphabet.
  const byOrders = (() => {
    const orders = new Map(used.map((code) => [code, 0]));
    for (const name of ["sales", "purchases"]) {
      const [currency, number] = [answer(name).column("currency"), answer(name).column("orders")];
      currency.forEach((code, row) => orders.set(code, orders.get(code) + number[row]));
    }
    return [...used].sort((one, other) => orders.get(other) - orders.get(one));
  })();
  const busiest = (most) => byOrders.slice(0, most).sort();

  // Where the money of a payment flows: refunds flow against what they refund.
  const DIRECTIONS = { SALES_RECEIPT: "incoming", PURCHASE_REFUND: "incoming", PURCHASE_PAYMENT: "outgoing", SALES_REFUND: "outgoing" };
  const directionOf = (kind) => DIRECTIONS[kind] || "other";

  // Sums of `measure` of the payments by where they flow, then by `keys`. Never added up: what is owed to us and by us.
  function paymentSums(filter, measure, ...keys) {
    const kind = answer("payments").column("kind");
    return sums("payments", filter, measure, (row) => directionOf(kind[row]), ...keys);
  }

  // Row numbers of an answer that the filter lets through. Weeks and months count whole.
  function rows(name, filter) {
    const found = answer(name);
    if (!found.rows) return [];
    const [period, currency] = [found.column("period"), found.column("currency")];
    const from = filter.from ? startOf[all.period](filter.from) : "";
    const to = filter.to || "9999";
    const chosen = [];
    for (let row = 0; row < found.rows; row += 1) {
      if (period[row] >= from && period[row] <= to && filter.currencies.has(currency[row])) chosen.push(row);
    }
    return chosen;
  }

  // Sums of `measure` over the filtered rows: Map of the keys that `keys(row)` gives, one inside the other.
  function sums(name, filter, measure, ...keys) {
    const values = answer(name).column(measure);
    const columns = keys.map((key) => (typeof key === "function" ? key : ((of) => (row) => of[row])(answer(name).column(key))));
    const total = new Map();
    for (const row of rows(name, filter)) {
      let at = total;
      for (const column of columns.slice(0, -1)) {
        const key = column(row);
        if (!at.has(key)) at.set(key, new Map());
        at = at.get(key);
      }
      const key = columns[columns.length - 1](row);
      at.set(key, (at.get(key) || 0) + values[row]);
    }
    return total;
  }

  // Sums of `measure` by period, a series for each currency: {periods, series: Map currency → values}.
  function overTime(name, filter, measure) {
    const period = answer(name).column("period");
    const found = sums(name, filter, measure, "currency", (row) => startOf[filter.by](period[row]));
    const dates = [...new Set([...found.values()].flatMap((of) => [...of.keys()]))].sort();
    const shown = periods(dates, filter.by);
    const series = new Map(used.filter((code) => found.has(code)).map((code) =>
      [code, shown.map((date) => found.get(code).get(date) || 0)]));
    return { periods: shown, series };
  }

  // The first members of a dimension, and all others together: [{key, label, values: Map currency → sum}]. Their order
  // is that of their shares of each currency's total, for amounts of two currencies have no sum.
  function members(name, filter, measure, most = 10) {
    const found = answer(name);
    const [key, label] = [found.column("member"), found.column("label")];
    const labels = new Map();
    for (let row = 0; row < found.rows; row += 1) labels.set(key[row], label[row]);
    const byMember = sums(name, filter, measure, "member", "currency");
    const totals = new Map();
    for (const values of byMember.values()) {
      for (const [code, value] of values) totals.set(code, (totals.get(code) || 0) + value);
    }
    const share = (values) => [...values].reduce((sum, [code, value]) => sum + value / (totals.get(code) || 1), 0);
    const named = [...byMember].filter(([member]) => member !== null)
      .map(([member, values]) => ({ key: member, label: labels.get(member), values }))
      .sort((one, other) => share(other.values) - share(one.values) || (String(one.key) < String(other.key) ? -1 : 1));
    const rest = [...named.slice(most).map((one) => one.values), ...(byMember.has(null) ? [byMember.get(null)] : [])];
    const others = new Map();
    for (const values of rest) for (const [code, value] of values) others.set(code, (others.get(code) || 0) + value);
    const shown = named.slice(0, most);
    const twice = new Set(shown.map((one) => one.label).filter((one, at, list) => list.indexOf(one) !== at));
    for (const one of shown) if (twice.has(one.label)) one.label = `${one.label} (${one.key})`;
    return others.size ? [...shown, { key: null, label: "all others", values: others }] : shown;
  }

  return { all, answer, objects, rows, sums, overTime, members, extent, first, last, used, byOrders, busiest, directionOf, paymentSums, plusDays, periods, startOf, offered, byAtFirst };
})();
