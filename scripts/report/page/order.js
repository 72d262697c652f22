"use strict";

// The history of one sales order: when each version held, and what changed.
const Order = (() => {
  const { count, exact, plural, plain } = Charts;
  const { element, empty, paragraph, card, tableCard } = Parts;

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
        card("Timeline", "From when to when each version held, by the source's clock. Diamonds: the days agreed in the last version.", timeline(bars, now, versions.length), { wide: true }),
        tableCard("Versions", "What changed from one version to the next is marked.", ...versionRows(versions))),
    ];
  }

  function timeline(bars, now, versions) {
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
        type: "scatter", mode: "markers", x: [now.deleted_at], y: [places[versions - 1]], showlegend: false,
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
    const [numbers, dates] = [new Set(["units", "price", "amount"]), new Set(["delivery", "payment"])];
    const headings = [{ text: "version", number: true }, "from", "until", ...Object.keys(shown).map((text) => ({ text, number: numbers.has(text) }))];
    const until = (row) => (row.valid_to ? row.valid_to.slice(0, 19) : row.deleted_at ? `deleted ${row.deleted_at.slice(0, 19)}` : "now");
    const rows = versions.map((row, at) => [
      String(row.version), { text: row.valid_from.slice(0, 19), name: "time" }, { text: until(row), name: "time" },
      ...Object.entries(shown).map(([what, of]) => ({
        text: of(row),
        name: `${dates.has(what) ? "time " : ""}${at && of(row) !== of(versions[at - 1]) ? "changed" : ""}`,
      })),
    ]);
    return [headings, rows];
  }

  return { orderHistory };
})();
