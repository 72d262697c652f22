"use strict";

// What the page is put together from: elements, tables, cards with a chart, tiles with a number. Whatever comes from the
// data goes in as text.
const Parts = (() => {
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

  // A titled chart. `chart`: {traces, layout, after: a line below it, rows: {headings, rows}}, or null where there is
  // nothing to show.
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
    if (chart.after) made.append(paragraph("note", chart.after));
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

  return { element, empty, paragraph, table, card, tableCard, tile };
})();
