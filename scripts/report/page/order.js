"use strict";

// The history of one sales order: when each version held, and what changed.
const Order = (() => {
  const { count, exact, plural, plain } = Charts;
  const { element, empty, paragraph, card, tableCard } = Parts;

  // Versions hold by the source's clock; this report and deletions, which open ends go by, have UTC. So an open bar is
  // never shorter than nothing, whatever the source's time zone is, and texts say which clock they mean.
  const made = Data.all.made_at.slice(0, 19).replace("T", " ");
  const seconds = (time) => time.slice(0, 19);
  const later = (one, other) => (one > other ? one : other);
  const end = (row) => row.valid_to || later(row.deleted_at || made, row.valid_from);
  const until = (row) => (row.valid_to ? seconds(row.valid_to) : row.deleted_at ? `deleted ${seconds(row.deleted_at)} UTC` : "now");
  const ends = (row) => [`from ${seconds(row.valid_from)}`, row.valid_to || row.deleted_at ? `until ${until(row)}` : `until now, ${made} UTC`];

  function orderHistory() {
    const versions = Data.objects("order_versions");
    if (!versions.length) return [empty("There is no sales order yet.")];
    const paid = Data.objects("order_payments");
    const bars = [
      ...versions.map((row) => ({
        label: `order, version ${row.version}`, from: row.valid_from, to: end(row), ends: ends(row), colour: Charts.palette()[0],
        told: `${count(row.units_sold)} units at ${exact(row.unit_price, row.currency)}`,
      })),
      ...paid.map((row) => ({
        label: `payment ${row.payment_id}, version ${row.version}`, from: row.valid_from, to: end(row), ends: ends(row),
        colour: row.paid ? Charts.meaning().paid : Charts.palette()[1],
        told: `${row.kind}: ${exact(row.amount, row.currency)}, ${row.paid ? "paid" : `due on ${row.payment_date}`}`,
      })),
    ];
    const now = versions[versions.length - 1];
    return [
      paragraph("lead", `Sales order ${now.sales_order_id}: ${plural(versions.length, "version")}. Each is a row of fact_sales_order; none is ever overwritten. `,
        now.deleted_at ? "The order is deleted in the source." : ""),
      element("div", { class: "cards" },
        card("Timeline", "From when to when each version held, by the source's clock; what still holds ends at the time of this report, what is deleted when that was found, both in UTC. Diamonds: the days agreed in the last version.", timeline(bars, now, versions.length), { wide: true }),
        tableCard("Versions", "From and until by the source's clock; deletions, when they were found, in UTC. What changed from one version to the next is marked.", ...versionRows(versions))),
    ];
  }

  function timeline(bars, now, versions) {
    const places = bars.map((_, at) => bars.length - at);
    const traces = bars.map((bar, at) => ({
      type: "scatter", mode: "lines+markers", x: [bar.from, bar.to], y: [places[at], places[at]], showlegend: false,
      line: { width: 9, color: bar.colour }, marker: { size: 9, symbol: ["circle", "line-ns"], color: bar.colour },
      text: bar.ends, hovertemplate: `${plain(bar.label)}<br>${plain(bar.told)}<br>%{text}<extra></extra>`,
    }));
    const agreed = [["delivery", now.agreed_delivery_date], ["payment", now.agreed_payment_date]];
    traces.push({
      type: "scatter", mode: "markers", x: agreed.map(([, date]) => date), y: [0, 0], showlegend: false,
      marker: { symbol: "diamond", size: 11, color: [Charts.palette()[2], Charts.palette()[1]] },
      text: agreed.map(([what]) => `agreed ${what}`), hovertemplate: "%{text}<br>%{x|%d %b %Y}<extra></extra>",
    });
    if (now.deleted_at) {
      traces.push({
        type: "scatter", mode: "markers", x: [end(now)], y: [places[versions - 1]], showlegend: false,
        marker: { symbol: "x", size: 11, color: Charts.meaning().overdue },
        text: [`found ${until(now)}`], hovertemplate: "%{text}<extra></extra>",
      });
    }
    const ticks = { tickmode: "array", tickvals: [...places, 0], ticktext: [...bars.map((bar) => plain(bar.label)), "agreed days"], range: [-0.7, bars.length + 0.7], zeroline: false };
    return {
      traces,
      layout: Charts.layout({ height: 130 + 30 * (bars.length + 1), showlegend: false, xaxis: Charts.timeAxis("time (source's clock)", { showgrid: true, hoverformat: "%d %b %Y %H:%M:%S" }), yaxis: Charts.axis("order or payment", ticks) }),
    };
  }

  function versionRows(versions) {
    const shown = {
      units: (row) => count(row.units_sold), price: (row) => exact(row.unit_price, row.currency), amount: (row) => exact(row.amount, row.currency),
      delivery: (row) => row.agreed_delivery_date, payment: (row) => row.agreed_payment_date,
      design: (row) => row.design, counterparty: (row) => row.counterparty, staff: (row) => row.staff,
    };
    const [numbers, dates] = [new Set(["units", "price", "amount"]), new Set(["delivery", "payment"])];
    const headings = [{ text: "version", number: true }, "from", "until", ...Object.keys(shown).map((text) => ({ text, number: numbers.has(text) }))];
    const rows = versions.map((row, at) => [
      String(row.version), { text: seconds(row.valid_from), name: "time" }, { text: until(row), name: "time" },
      ...Object.entries(shown).map(([what, of]) => ({
        text: of(row),
        name: `${dates.has(what) ? "time " : ""}${at && of(row) !== of(versions[at - 1]) ? "changed" : ""}`,
      })),
    ]);
    return [headings, rows];
  }

  return { orderHistory, end, until };
})();
